// Tells when processes end. Reads a pid a line; answers `watching`, and when the process has ended (its pidfd is
// readable) the milliseconds of CLOCK_MONOTONIC, which process.hrtime shows too.
#define _GNU_SOURCE
#include <poll.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int main(void) {
  int pid;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (scanf("%d", &pid) == 1) {
    int fd = syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
      perror("pidfd_open");
      return 1;
    }
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    puts("watching");
    while (poll(&ended, 1, -1) != 1) {
    }
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    printf("%.6f\n", time.tv_sec * 1e3 + time.tv_nsec / 1e6);
    close(fd);
  }
  return 0;
}
