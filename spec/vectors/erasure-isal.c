/*
 * Makes erasure.json, the test vectors of spec/erasure.md, with Intel's ISA-L and OpenSSL, which
 * share no code with ours. Made with libisal-dev 2.30.0 and libssl-dev 3.0 of Debian 12:
 *
 *   gcc -O2 -Wall -Wextra erasure-isal.c -o /tmp/erasure-isal -lisal -lcrypto
 *   /tmp/erasure-isal > erasure.json
 */
#include <isa-l/erasure_code.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHARDS_MAX 255
#define LEAF_BYTES 65536
#define HASH_BYTES 32

typedef unsigned char byte;

/* State after state = 1664525 * state + 1013904223, modulo 2^32; a byte is its upper 8 bits. */
static void fill(byte *target, size_t bytes, uint32_t seed) {
  uint32_t state = seed;
  for (size_t at = 0; at < bytes; at++) {
    state = state * 1664525u + 1013904223u;
    target[at] = state >> 24;
  }
}

static void print_hex(const byte *bytes, size_t count) {
  putchar('"');
  for (size_t at = 0; at < count; at++) printf("%02x", bytes[at]);
  putchar('"');
}

static void print_hex_list(const char *name, byte **shards, int count, size_t bytes) {
  printf("      \"%s\": [", name);
  for (int index = 0; index < count; index++) {
    printf(index == 0 ? "\n        " : ",\n        ");
    print_hex(shards[index], bytes);
  }
  printf("%s]", count == 0 ? "" : "\n      ");
}

static void print_int_list(const char *name, const int *numbers, int count) {
  printf("      \"%s\": [", name);
  for (int at = 0; at < count; at++) printf("%s%d", at == 0 ? "" : ", ", numbers[at]);
  printf("],\n");
}

/* Outputs, one per row, of inputs, one per column. */
static void apply(byte *matrix, int rows, int columns, byte **inputs, byte **outputs, int bytes) {
  byte *tables = malloc(32 * (size_t)rows * columns);
  ec_init_tables(columns, rows, matrix, tables);
  ec_encode_data(bytes, columns, rows, tables, inputs, outputs);
  free(tables);
}

static byte **new_shards(int count, size_t bytes) {
  byte **shards = malloc(count * sizeof *shards);
  for (int index = 0; index < count; index++) shards[index] = calloc(bytes == 0 ? 1 : bytes, 1);
  return shards;
}

/* Parity of k shards, then the shards that are lost made of the first k others. */
static void print_code(int k, int n, size_t bytes, const int *lost, int lost_count) {
  byte *generator = malloc(n * k), *square = malloc(k * k), *inverse = malloc(k * k);
  byte *rows = calloc(lost_count * k, 1);
  byte **shards = new_shards(n, bytes), **rebuilt = new_shards(lost_count, bytes);
  byte *sources[SHARDS_MAX];
  int source_numbers[SHARDS_MAX], source_count = 0;

  gf_gen_cauchy1_matrix(generator, n, k);
  for (int index = 0; index < k; index++) fill(shards[index], bytes, 1000 * k + index);
  apply(generator + k * k, n - k, k, shards, shards + k, bytes);

  for (int index = 0; index < n && source_count < k; index++) {
    int is_lost = 0;
    for (int at = 0; at < lost_count; at++) is_lost |= lost[at] == index;
    if (is_lost) continue;
    memcpy(square + source_count * k, generator + index * k, k);
    sources[source_count] = shards[index];
    source_numbers[source_count++] = index;
  }
  if (source_count < k || gf_invert_matrix(square, inverse, k) != 0) exit(1);
  for (int row = 0; row < lost_count; row++)
    for (int column = 0; column < k; column++)
      for (int at = 0; at < k; at++)
        rows[row * k + column] ^= gf_mul(generator[lost[row] * k + at], inverse[at * k + column]);
  apply(rows, lost_count, k, sources, rebuilt, bytes);
  for (int at = 0; at < lost_count; at++)
    if (memcmp(rebuilt[at], shards[lost[at]], bytes) != 0) exit(1);

  printf("    {\n      \"dataShards\": %d,\n      \"parityShards\": %d,\n", k, n - k);
  printf("      \"shardBytes\": %zu,\n      \"generator\": ", bytes);
  print_hex(generator, n * k);
  printf(",\n");
  print_hex_list("data", shards, k, bytes);
  printf(",\n");
  print_hex_list("parity", shards + k, n - k, bytes);
  printf(",\n");
  print_int_list("lost", lost, lost_count);
  print_int_list("sources", source_numbers, source_count);
  printf("      \"rebuildMatrix\": ");
  print_hex(rows, lost_count * k);
  printf("\n    }");
}

static void hash_behind(byte domain, const byte *bytes, size_t count, byte *digest) {
  byte *input = malloc(count + 1);
  input[0] = domain;
  memcpy(input + 1, bytes, count);
  SHA256(input, count + 1, digest);
  free(input);
}

/* RFC 6962, section 2.1, word for word. */
static void tree_hash(const byte *leaf_hashes, size_t count, byte *digest) {
  if (count == 0) {
    SHA256((const byte *)"", 0, digest);
    return;
  }
  if (count == 1) {
    memcpy(digest, leaf_hashes, HASH_BYTES);
    return;
  }
  size_t left = 1;
  while (2 * left < count) left *= 2;
  byte pair[2 * HASH_BYTES];
  tree_hash(leaf_hashes, left, pair);
  tree_hash(leaf_hashes + left * HASH_BYTES, count - left, pair + HASH_BYTES);
  hash_behind(1, pair, sizeof pair, digest);
}

/* An object cut, coded and hashed. */
static void print_object(size_t object_bytes, int k, int n) {
  size_t bytes = ((object_bytes + k - 1) / k + 63) / 64 * 64;
  size_t leaves = (bytes + LEAF_BYTES - 1) / LEAF_BYTES;
  byte *object = calloc(bytes * k + 1, 1), *generator = malloc(n * k);
  byte **shards = new_shards(n, bytes);
  byte **roots = new_shards(n, HASH_BYTES), **first_leaves = new_shards(n, HASH_BYTES);

  fill(object, object_bytes, object_bytes);
  for (int index = 0; index < k; index++) memcpy(shards[index], object + index * bytes, bytes);
  gf_gen_cauchy1_matrix(generator, n, k);
  apply(generator + k * k, n - k, k, shards, shards + k, bytes);
  for (int index = 0; index < n; index++) {
    byte *hashes = malloc(leaves * HASH_BYTES + 1);
    for (size_t leaf = 0; leaf < leaves; leaf++) {
      size_t start = leaf * LEAF_BYTES;
      size_t count = bytes - start < LEAF_BYTES ? bytes - start : LEAF_BYTES;
      hash_behind(0, shards[index] + start, count, hashes + leaf * HASH_BYTES);
    }
    tree_hash(hashes, leaves, roots[index]);
    if (leaves > 0) memcpy(first_leaves[index], hashes, HASH_BYTES);
    free(hashes);
  }
  printf("    {\n      \"objectBytes\": %zu,\n      \"seed\": %zu,\n", object_bytes, object_bytes);
  printf("      \"dataShards\": %d,\n      \"parityShards\": %d,\n", k, n - k);
  printf("      \"shardBytes\": %zu,\n      \"leafCount\": %zu,\n", bytes, leaves);
  print_hex_list("firstLeafHashes", first_leaves, leaves == 0 ? 0 : n, HASH_BYTES);
  printf(",\n");
  print_hex_list("roots", roots, n, HASH_BYTES);
  printf("\n    }");
}

int main(void) {
  printf("{\n  \"spec\": \"spec/erasure.md\",\n  \"codes\": [\n");
  print_code(1, 2, 5, (int[]){0}, 1);
  printf(",\n");
  print_code(1, 3, 1, (int[]){0, 1}, 2);
  printf(",\n");
  print_code(2, 3, 17, (int[]){1}, 1);
  printf(",\n");
  print_code(3, 5, 33, (int[]){4, 0}, 2);
  printf(",\n");
  print_code(4, 8, 64, (int[]){0, 1, 2, 3}, 4);
  printf(",\n");
  print_code(8, 14, 65, (int[]){1, 3, 5, 7, 9, 13}, 6);
  printf(",\n");
  print_code(10, 16, 100, (int[]){0, 1, 2, 10, 11, 12}, 6);
  printf(",\n");
  print_code(20, 30, 31, (int[]){19, 18, 17, 16, 15, 14, 13, 12, 11, 10}, 10);
  printf(",\n");
  print_code(29, 80, 3, (int[]){0, 28, 29, 79}, 4);
  printf("\n  ],\n  \"objects\": [\n");
  print_object(0, 2, 3);
  printf(",\n");
  print_object(1, 3, 4);
  printf(",\n");
  print_object(1000, 4, 8);
  printf(",\n");
  print_object(300001, 2, 4);
  printf(",\n");
  print_object(1048577, 4, 8);
  printf(",\n");
  print_object(2097152, 8, 14);
  printf("\n  ]\n}\n");
  return 0;
}
