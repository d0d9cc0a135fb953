// A pid file acquired and released in C, as often as said; prints the milliseconds that it took.
//
//     pid-lock PATH COUNT same    the system calls of PidLock.acquire() and release(), all of them
//     pid-lock PATH COUNT least   those alone that the protocol is made of
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FLAGS = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };

static int waiters;

static void check(int failed, const char *what) {
  if (failed) {
    perror(what);
    exit(1);
  }
}

static void request(int fd, int command, short type, off_t start, off_t length) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
  check(fcntl(fd, command, &lock) != 0, "fcntl");
}

static int names_still(const char *path, const struct stat *file) {
  struct stat named;
  return lstat(path, &named) == 0 && named.st_dev == file->st_dev && named.st_ino == file->st_ino;
}

static void acquire_and_release(const char *path, int same) {
  struct stat file, other;
  if (same) stat(path, &other); // is it a file of ours already?
  int fd = open(path, FLAGS, 0600);
  check(fd < 0, "open");
  check(fstat(fd, &file) != 0, "fstat");
  if (same && file.st_uid != geteuid()) exit(1);
  request(fd, F_OFD_SETLK, F_WRLCK, 1, 2);
  check(!names_still(path, &file), "lstat");
  check(fchmod(fd, 0644) != 0, "fchmod");
  request(fd, F_SETLK, F_WRLCK, 0, 1);
  static char text[16];
  static int length;
  if (same || length == 0) length = snprintf(text, sizeof text, "%d\n", getpid());
  check(pwrite(fd, text, length, 0) != length, "pwrite");
  check(ftruncate(fd, length) != 0, "ftruncate");
  request(fd, F_OFD_SETLK, F_UNLCK, 2, 1);
  check(!names_still(path, &file), "lstat");
  check(unlink(path) != 0, "unlink");
  if (same) syscall(SYS_futex, &waiters, FUTEX_WAKE_PRIVATE, INT_MAX);
  check(close(fd) != 0, "close");
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  long count = strtol(argv[2], NULL, 10);
  int same = strcmp(argv[3], "same") == 0;
  check(write(STDERR_FILENO, "begin\n", 6) < 0, "write"); // for who reads a trace
  double start = now();
  for (long each = 0; each < count; each++) acquire_and_release(argv[1], same);
  double elapsed = now() - start;
  check(write(STDERR_FILENO, "end\n", 4) < 0, "write");
  printf("%.6f\n", elapsed);
  return 0;
}
