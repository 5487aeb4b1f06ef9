/* Makes system calls on files below one folder fail, as LD_PRELOAD; set from within by fault_set.

   Calls of one kind are counted; from number `when` on, `times` of them fail with `code`. `how`:
   0 fails, 1 does it and says that it failed, 2 (of writes) writes the half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { WRITE, FSYNC, RENAME, OPEN, MKDIR, FLOCK, TRUNCATE, UNLINK, KINDS };
static const char *NAMES[] = {"write", "fsync", "rename", "open", "mkdir", "flock", "truncate", "unlink"};
static char under[4096];
static long counts[KINDS], when_ = 0, times_ = 0;
static int kind_ = -1, code_ = 0, how_ = 0;
static long clock_after = -1, clock_calls = 0, clock_shift = 0;

void fault_set(const char *folder, const char *kind, int code, long when, long times, int how) {
    strncpy(under, folder, sizeof under - 1);
    memset(counts, 0, sizeof counts);
    kind_ = -1;
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(kind, NAMES[k])) kind_ = k;
    code_ = code, when_ = when, times_ = times, how_ = how;
}

void fault_clock(long after, long shift) { clock_after = after, clock_calls = 0, clock_shift = shift; }

long fault_count(const char *kind) {
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(kind, NAMES[k])) return counts[k];
    return -1;
}

static int below(const char *path) {
    char full[8192];
    if (!under[0] || !path) return 0;
    if (path[0] != '/') {
        char here[4096];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(full, sizeof full, "%s/%s", here, path);
        path = full;
    }
    return !strncmp(path, under, strlen(under));
}

static int below_fd(int fd) {
    char link[64], path[4096];
    if (!under[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static int fails(int kind, int here) {
    if (!here) return 0;
    long n = ++counts[kind];
    return kind == kind_ && n >= when_ && n < when_ + times_;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define FAIL do { errno = code_; return -1; } while (0)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (fails(WRITE, below_fd(fd))) {
        if (how_ != 2) FAIL;
        how_ = 0, when_ = counts[WRITE] + 1; /* the next one fails */
        return real(fd, data, size / 2);
    }
    return real(fd, data, size);
}
int fsync(int fd) { REAL(fsync); if (fails(FSYNC, below_fd(fd))) FAIL; return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); if (fails(FSYNC, below_fd(fd))) FAIL; return real(fd); }
int flock(int fd, int operation);
int flock(int fd, int operation) {
    REAL(flock);
    if (fails(FLOCK, below_fd(fd))) { if (how_ == 1) return 0; FAIL; }
    return real(fd, operation);
}
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); if (fails(TRUNCATE, below_fd(fd))) FAIL; return real(fd, size); }
int mkdir(const char *path, mode_t mode) { REAL(mkdir); if (fails(MKDIR, below(path))) FAIL; return real(path, mode); }
int unlink(const char *path) { REAL(unlink); if (fails(UNLINK, below(path))) FAIL; return real(path); }
int rename(const char *from, const char *to) {
    REAL(rename);
    if (fails(RENAME, below(to))) { if (how_ == 1) real(from, to); FAIL; }
    return real(from, to);
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails(OPEN, below(path))) FAIL;
    return real(path, flags, mode);
}
int open(const char *path, int flags, ...) {
    REAL(open);
    va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest);
    if ((flags & (O_CREAT | O_WRONLY | O_RDWR)) && fails(OPEN, below(path))) FAIL;
    return real(path, flags, mode);
}
int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(clock_gettime);
    int result = real(which, now);
    if (which == CLOCK_REALTIME && clock_after >= 0 && clock_calls++ >= clock_after) now->tv_sec += clock_shift;
    return result;
}
