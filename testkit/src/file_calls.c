/* Counts the calls by which a process changes files below a folder, and lets one of them fail or be the process's last.
 *
 * Loaded into a process with LD_PRELOAD; `file_calls.rs` builds it and says what to do:
 *
 *   FILE_CALLS_UNDER   the folder, an absolute path; several are separated by a colon
 *   FILE_CALLS_REPORT  a file of REPORT_BYTES bytes, which is mapped: the count, then the call that was hit, as text
 *   FILE_CALLS_AT      the call that is hit, counted from 1; none if it is missing
 *   FILE_CALLS_DO      kill, or the number of the error that the call fails with, without having done anything
 *
 * Calls go to the kernel directly, never to the next library: the first of them may come before there is one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { REPORT_BYTES = 4096 };

struct report {
    _Atomic uint64_t calls;
    char hit[REPORT_BYTES - sizeof(uint64_t)];
};

static struct report *report;
static char under[PATH_MAX * 4];
static uint64_t at;
static int fails_with; /* 0: the process is killed */

__attribute__((constructor)) static void begin(void) {
    const char *folders = getenv("FILE_CALLS_UNDER");
    const char *path = getenv("FILE_CALLS_REPORT");
    if (!folders || !path || strlen(folders) >= sizeof(under)) return;
    strcpy(under, folders);
    const char *number = getenv("FILE_CALLS_AT");
    at = number ? strtoull(number, NULL, 10) : 0;
    const char *what = getenv("FILE_CALLS_DO");
    fails_with = what && strcmp(what, "kill") ? atoi(what) : 0;
    int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (file < 0) return;
    void *mapped = mmap(NULL, REPORT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) report = mapped;
    syscall(SYS_close, file);
}

static int is_under(const char *path) {
    for (const char *folder = under; *folder;) {
        size_t length = strcspn(folder, ":");
        if (!strncmp(path, folder, length) && (path[length] == '/' || !path[length])) return 1;
        folder += length + (folder[length] == ':');
    }
    return 0;
}

/* Whether the call goes ahead; if not, errno says why. */
static int passes(const char *call, const char *path) {
    if (!is_under(path)) return 1;
    uint64_t number = atomic_fetch_add(&report->calls, 1) + 1;
    if (number != at) return 1;
    snprintf(report->hit, sizeof(report->hit), "%s %s", call, path);
    if (!fails_with) {
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;) pause();
    }
    errno = fails_with;
    return 0;
}

static int path_of(int file, char *path) {
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)(PATH_MAX - 1));
    if (length < 0) return 0;
    path[length] = 0;
    return path[0] == '/';
}

static int passes_file(const char *call, int file) {
    char path[PATH_MAX];
    if (!report || file < 0) return 1;
    int before = errno;
    if (!path_of(file, path)) {
        errno = before;
        return 1;
    }
    return passes(call, path);
}

static int passes_path(const char *call, int folder, const char *path) {
    char whole[PATH_MAX * 2];
    if (!report || !path) return 1;
    if (path[0] == '/') return passes(call, path);
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, whole, (size_t)PATH_MAX) < 0) return 1;
    } else if (!path_of(folder, whole)) {
        return 1;
    }
    size_t length = strlen(whole);
    snprintf(whole + length, sizeof(whole) - length, "/%s", path);
    return passes(call, whole);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    if ((flags & (O_CREAT | O_TRUNC)) && !passes_path("open", folder, path)) return -1;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags, last)                                    \
    mode_t mode = 0;                                         \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                        \
        va_start(rest, last);                                \
        mode = va_arg(rest, mode_t);                         \
        va_end(rest);                                        \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE(flags, flags)
    return open_at(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ssize_t write(int file, const void *bytes, size_t count) {
    return passes_file("write", file) ? syscall(SYS_write, file, bytes, count) : -1;
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return passes_file("writev", file) ? syscall(SYS_writev, file, parts, count) : -1;
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    return passes_file("pwrite", file) ? syscall(SYS_pwrite64, file, bytes, count, offset) : -1;
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    return passes_file("pwrite", file) ? syscall(SYS_pwrite64, file, bytes, count, offset) : -1;
}
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags) {
    return passes_file("copy_file_range", to)
               ? syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags)
               : -1;
}
int fallocate(int file, int mode, off_t offset, off_t length) {
    return passes_file("fallocate", file) ? (int)syscall(SYS_fallocate, file, mode, offset, length) : -1;
}
int fsync(int file) { return passes_file("fsync", file) ? (int)syscall(SYS_fsync, file) : -1; }
int fdatasync(int file) {
    return passes_file("fdatasync", file) ? (int)syscall(SYS_fdatasync, file) : -1;
}
int ftruncate(int file, off_t length) {
    return passes_file("ftruncate", file) ? (int)syscall(SYS_ftruncate, file, length) : -1;
}
int ftruncate64(int file, off64_t length) {
    return passes_file("ftruncate", file) ? (int)syscall(SYS_ftruncate, file, length) : -1;
}

int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    return passes_path("rename", to, new) ? (int)syscall(SYS_renameat2, from, old, to, new, flags) : -1;
}
int renameat(int from, const char *old, int to, const char *new) {
    return renameat2(from, old, to, new, 0);
}
int rename(const char *old, const char *new) { return renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return passes_path("link", to, new) ? (int)syscall(SYS_linkat, from, old, to, new, flags) : -1;
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }
int unlinkat(int folder, const char *path, int flags) {
    const char *call = (flags & AT_REMOVEDIR) ? "rmdir" : "unlink";
    return passes_path(call, folder, path) ? (int)syscall(SYS_unlinkat, folder, path, flags) : -1;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int folder, const char *path, mode_t mode) {
    return passes_path("mkdir", folder, path) ? (int)syscall(SYS_mkdirat, folder, path, mode) : -1;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
