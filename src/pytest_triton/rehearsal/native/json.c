#include "json.h"

#include <string.h>

static const struct json EMPTY = {NULL, NULL};

static const char *skip_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) at++;
  return at;
}

/* Behind the string that begins at `at`, NULL if it doesn't end. */
static const char *skip_string(const char *at, const char *end) {
  for (at++; at < end; at++) {
    if (*at == '"') return at + 1;
    if (*at == '\\') at++;
  }
  return NULL;
}

/* Behind the value that begins at `at`, NULL if it doesn't end. Counts brackets instead of
 * calling itself, so that no depth of nesting can exhaust the stack. */
static const char *skip_value(const char *at, const char *end) {
  size_t depth = 0;
  const char *begin = at;
  while (at < end) {
    char c = *at;
    if (c == '"') {
      at = skip_string(at, end);
      if (!at) return NULL;
    } else if (c == '{' || c == '[') {
      depth++;
      at++;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at > begin ? at : NULL;
      depth--;
      at++;
    } else if (depth == 0 && (c == ',' || c == ':')) {
      return at > begin ? at : NULL;
    } else {
      at++;
      if (depth == 0 && at < end && !strchr(",:}] \t\r\n", *at)) continue;
    }
    if (depth == 0) return at;
  }
  return depth == 0 && at > begin ? at : NULL;
}

struct json json_text(const char *text, size_t size) {
  const char *end = text + size, *start = skip_space(text, end);
  return start < end ? (struct json){start, end} : EMPTY;
}

/* Does the string at `at` (with its quotes, ending before `after`) spell `name`? */
static bool spells(const char *at, const char *after, const char *name) {
  size_t length = strlen(name);
  return (size_t)(after - at) == length + 2 && memcmp(at + 1, name, length) == 0;
}

struct json json_member(struct json object, const char *name) {
  if (!object.start || *object.start != '{') return EMPTY;
  const char *end = object.end, *at = skip_space(object.start + 1, end);
  while (at < end && *at == '"') {
    const char *after = skip_string(at, end);
    if (!after) return EMPTY;
    bool found = spells(at, after, name);
    at = skip_space(after, end);
    if (at >= end || *at != ':') return EMPTY;
    at = skip_space(at + 1, end);
    const char *behind = skip_value(at, end);
    if (!behind) return EMPTY;
    if (found) return (struct json){at, end};
    at = skip_space(behind, end);
    if (at >= end || *at != ',') return EMPTY;
    at = skip_space(at + 1, end);
  }
  return EMPTY;
}

struct json json_first(struct json array) {
  if (!array.start || *array.start != '[') return EMPTY;
  const char *at = skip_space(array.start + 1, array.end);
  return at < array.end && *at != ']' ? (struct json){at, array.end} : EMPTY;
}

struct json json_next(struct json element) {
  const char *end = element.end;
  const char *at = element.start ? skip_value(element.start, end) : NULL;
  if (!at) return EMPTY;
  at = skip_space(at, end);
  if (at >= end || *at != ',') return EMPTY;
  at = skip_space(at + 1, end);
  return at < end ? (struct json){at, end} : EMPTY;
}

bool json_integer(struct json value, int64_t *number) {
  const char *at = value.start, *end = value.end;
  if (!at) return false;
  bool quoted = at < end && *at == '"';
  at += quoted;
  bool negative = at < end && *at == '-';
  at += negative;
  const char *digits = at;
  int64_t sum = 0;
  for (; at < end && *at >= '0' && *at <= '9'; at++) {
    int64_t digit = negative ? '0' - *at : *at - '0';
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum))
      return false;
  }
  if (at == digits || (quoted && (at >= end || *at != '"'))) return false;
  if (!quoted && at < end && !strchr(",:}] \t\r\n", *at)) return false;
  *number = sum;
  return true;
}

bool json_is_true(struct json value) {
  return value.start && value.end - value.start >= 4 && memcmp(value.start, "true", 4) == 0;
}

static bool read_hex4(const char *at, const char *end, uint32_t *code) {
  if (end - at < 4) return false;
  *code = 0;
  for (int i = 0; i < 4; i++) {
    const char *hex = "0123456789abcdef", *digit = at[i] ? strchr(hex, at[i] | 0x20) : NULL;
    if (!digit) return false;
    *code = *code * 16 + (uint32_t)(digit - hex);
  }
  return true;
}

static size_t encode_utf8(uint32_t code, char out[4]) {
  if (code < 0x80) return out[0] = (char)code, 1;
  size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
  out[0] = (char)((0xf00 >> length) | code);
  return length;
}

/* One character behind a backslash. Returns its length in UTF-8, 0 if malformed. */
static size_t read_escape(const char **at, const char *end, char out[4]) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  if (*at >= end) return 0;
  char letter = *(*at)++;
  const char *known = letter ? strchr(letters, letter) : NULL;
  if (known) return out[0] = meanings[known - letters], 1;
  uint32_t code, low;
  if (letter != 'u' || !read_hex4(*at, end, &code)) return 0;
  *at += 4;
  if (code >= 0xd800 && code < 0xdc00 && end - *at >= 6 && (*at)[0] == '\\' &&
      (*at)[1] == 'u' && read_hex4(*at + 2, end, &low) && low >= 0xdc00 && low < 0xe000) {
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    *at += 6;
  }
  return code == 0 ? 0 : encode_utf8(code, out);
}

bool json_string(struct json value, char *text, size_t size) {
  const char *at = value.start, *end = value.end;
  if (!at || *at != '"' || size == 0) return false;
  size_t used = 0;
  for (at++; at < end && *at != '"';) {
    char bytes[4] = {*at};
    size_t length = 1;
    if (*at++ == '\\') length = read_escape(&at, end, bytes);
    if (length == 0 || used + length >= size) return false;
    memcpy(text + used, bytes, length);
    used += length;
  }
  if (at >= end) return false;
  text[used] = '\0';
  return true;
}
