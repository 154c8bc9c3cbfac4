/*
 * Speed of Intel's ISA-L on one thread, for bench/erasure.ts, which compiles and runs it:
 *
 *   gcc -O2 isal-speed.c -o isal-speed -lisal
 *   ./isal-speed DATA_SHARDS PARITY_SHARDS SHARD_BYTES REPEATS
 *
 * Prints the seconds of the fastest encoding, and of the fastest rebuilding of as many data shards
 * as may be lost.
 */
#include <isa-l/erasure_code.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned char byte;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static double fastest(byte *matrix, int rows, int k, byte **inputs, byte **outputs, int bytes,
                      int repeats) {
  byte *tables = malloc(32 * (size_t)rows * k);
  double best = 1e9;
  for (int repeat = 0; repeat < repeats; repeat++) {
    double start = now();
    ec_init_tables(k, rows, matrix, tables);
    ec_encode_data(bytes, k, rows, tables, inputs, outputs);
    double took = now() - start;
    if (took < best) best = took;
  }
  free(tables);
  return best;
}

int main(int count, char **arguments) {
  if (count != 5) return 2;
  int k = atoi(arguments[1]), m = atoi(arguments[2]);
  int bytes = atoi(arguments[3]), repeats = atoi(arguments[4]);
  int lost = m < k ? m : k;
  byte *generator = malloc((k + m) * k), *square = malloc(k * k), *inverse = malloc(k * k);
  byte *shards[255], *rebuilt[255];
  for (int index = 0; index < k + m; index++) {
    shards[index] = malloc(bytes);
    for (int at = 0; at < bytes; at++) shards[index][at] = at * 31 + index;
    rebuilt[index] = malloc(bytes);
    memset(rebuilt[index], 1, bytes);
  }
  gf_gen_cauchy1_matrix(generator, k + m, k);
  double encode = fastest(generator + k * k, m, k, shards, shards + k, bytes, repeats);

  /* The first shards are lost: the rows of the inverse are the rows that make them. */
  memcpy(square, generator + lost * k, k * k);
  if (gf_invert_matrix(square, inverse, k) != 0) return 1;
  double reconstruct = fastest(inverse, lost, k, shards + lost, rebuilt, bytes, repeats);
  for (int index = 0; index < lost; index++)
    if (memcmp(rebuilt[index], shards[index], bytes) != 0) return 1;
  printf("%.9f %.9f\n", encode, reconstruct);
  return 0;
}
