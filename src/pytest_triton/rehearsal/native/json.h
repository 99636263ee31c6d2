/* A reader for JSON text, without a tree and without memory of its own.
 *
 * A json is a range of text that begins with a value. Missing things and malformed text give
 * an empty json (or false); nothing is ever read behind `end`.
 */
#ifndef PYTEST_TRITON_JSON_H
#define PYTEST_TRITON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json {
  const char *start; /* NULL: empty */
  const char *end;
};

struct json json_text(const char *text, size_t size);

/* The value of the first member called `name` (which needs no escapes in JSON). */
struct json json_member(struct json object, const char *name);

/* The first element of an array, and the one behind `element`; empty after the last. */
struct json json_first(struct json array);
struct json json_next(struct json element);

/* Whole numbers, also when written as text ("12"), as Protobuf's JSON does for 64 bits. */
bool json_integer(struct json value, int64_t *number);
bool json_is_true(struct json value);

/* Decodes a string to UTF-8, zero-terminated. False if it isn't one, or is too long. */
bool json_string(struct json value, char *text, size_t size);

#endif
