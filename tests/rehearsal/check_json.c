/* Reads documents from stdin (4 bytes of length, then the text), and prints what json.c finds
 * in each: name, count, dims, flag. Each text is in a block of exactly its size, so that an
 * address sanitizer sees every step outside. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

int main(void) {
  uint32_t size;
  while (fread(&size, sizeof size, 1, stdin) == 1) {
    char *text = malloc(size ? size : 1), name[64];
    int64_t number;
    if (fread(text, 1, size, stdin) != size) return 1;
    struct json document = json_text(text, size);
    struct json inner = json_member(json_member(document, "outer"), "name");
    if (json_string(json_member(document, "name"), name, sizeof name)) {
      fputs("name=", stdout);
      for (const char *at = name; *at; at++) printf("%02x", (unsigned char)*at);
    }
    if (json_string(inner, name, sizeof name)) printf(" inner=%zu", strlen(name));
    if (json_integer(json_member(document, "count"), &number)) printf(" count=%lld",
                                                                      (long long)number);
    fputs(" dims=", stdout);
    for (struct json dim = json_first(json_member(document, "dims")); dim.start;
         dim = json_next(dim)) {
      if (json_integer(dim, &number)) printf("%lld,", (long long)number);
      else fputs("?,", stdout);
    }
    if (json_is_true(json_member(document, "flag"))) fputs(" flag", stdout);
    putchar('\n');
    free(text);
  }
  return 0;
}
