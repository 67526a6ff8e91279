// Records what a process does to the files below a folder: every write, sync, rename, link and removal, with its bytes and
// in its order. Preloaded (LD_PRELOAD) into the process whose power is going to fail in the trial.
//
//   RECORD_ROOT   the folder; an absolute path without links
//   RECORD_LOG    the file that the records are appended to
//
// A record is a byte that says what, and its fields: numbers of eight bytes in the machine's order, texts with their
// length before them. Files are named by inode, which is unique while anything knows the file. The call and its record
// are one step, so the order of the records is the order of what happened.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 'c', WRITE = 'w', TRUNCATE = 't', SYNC = 's', MKDIR = 'd', RENAME = 'r', LINK = 'l', UNLINK = 'u', RMDIR = 'x', OTHER = '?' };

static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;
static const char *root;
static size_t root_length;
static int log_fd = -1;

static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_openat)(int, const char *, int, ...);

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void find(void)
{
	if (!real_openat) {
		real_write = REAL(write);
		real_openat = REAL(openat);
	}
}

__attribute__((constructor)) static void begin(void)
{
	find();
	const char *path = getenv("RECORD_LOG");
	root = getenv("RECORD_ROOT");
	if (!path || !root)
		return;
	root_length = strlen(root);
	log_fd = real_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_below(const char *path)
{
	return log_fd >= 0 && strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

// The absolute path of a name below an open folder, in `path`. Whether it is one that is recorded.
static int path_at(int folder, const char *name, char *path)
{
	if (log_fd < 0)
		return 0;
	if (name[0] == '/') {
		snprintf(path, PATH_MAX, "%s", name);
	} else {
		char link[64];
		snprintf(link, sizeof link, folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
		ssize_t length = readlink(link, path, PATH_MAX - 1);
		if (length < 0)
			return 0;
		snprintf(path + length, PATH_MAX - length, "/%s", name);
	}
	return is_below(path);
}

// The inode of an open file that is recorded, otherwise 0.
static uint64_t inode_of(int fd)
{
	char link[64], path[PATH_MAX];
	struct stat found;
	if (log_fd < 0 || fd == log_fd)
		return 0;
	int before = errno;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	path[length > 0 ? length : 0] = 0;
	uint64_t inode = is_below(path) && fstat(fd, &found) == 0 ? found.st_ino : 0;
	errno = before;
	return inode;
}

struct text {
	const void *bytes;
	uint64_t length;
};

static void record(char what, int numbers, const uint64_t *number, int texts, const struct text *text)
{
	int before = errno;
	size_t size = 1 + 8 * numbers;
	for (int i = 0; i < texts; i++)
		size += 8 + text[i].length;
	char *bytes = malloc(size), *at = bytes;
	*at++ = what;
	memcpy(at, number, 8 * numbers);
	at += 8 * numbers;
	for (int i = 0; i < texts; i++) {
		memcpy(at, &text[i].length, 8);
		memcpy(at + 8, text[i].bytes, text[i].length);
		at += 8 + text[i].length;
	}
	// A record that is lost would make the trial say something else than happened.
	if (real_write(log_fd, bytes, size) != (ssize_t)size)
		abort();
	free(bytes);
	errno = before;
}

static void record_paths(char what, const char *first, const char *second)
{
	struct text text[] = {{first, strlen(first)}, {second, second ? strlen(second) : 0}};
	record(what, 0, NULL, second ? 2 : 1, text);
}

static void record_made(char what, const char *path)
{
	struct stat found;
	if (lstat(path, &found) == 0) {
		uint64_t inode = found.st_ino;
		struct text text = {path, strlen(path)};
		record(what, 1, &inode, 1, &text);
	}
}

static int open_recorded(int folder, const char *name, int flags, mode_t mode)
{
	char path[PATH_MAX];
	find();
	if (!(flags & (O_CREAT | O_TRUNC)) || !path_at(folder, name, path))
		return real_openat(folder, name, flags, mode);
	pthread_mutex_lock(&order);
	struct stat found;
	int is_new = lstat(path, &found) != 0;
	int fd = real_openat(folder, name, flags, mode);
	if (fd >= 0 && is_new) {
		record_made(CREATE, path);
	} else if (fd >= 0 && (flags & O_TRUNC)) {
		uint64_t numbers[] = {inode_of(fd), 0};
		record(TRUNCATE, 2, numbers, 0, NULL);
	}
	pthread_mutex_unlock(&order);
	return fd;
}

#define MODE_OF(flags) \
	mode_t mode = 0; \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list rest; \
		va_start(rest, flags); \
		mode = va_arg(rest, mode_t); \
		va_end(rest); \
	}

int open(const char *name, int flags, ...) { MODE_OF(flags) return open_recorded(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE_OF(flags) return open_recorded(AT_FDCWD, name, flags, mode); }
int openat(int folder, const char *name, int flags, ...) { MODE_OF(flags) return open_recorded(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { MODE_OF(flags) return open_recorded(folder, name, flags, mode); }
int creat(const char *name, mode_t mode) { return open_recorded(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

static void record_write(uint64_t inode, uint64_t offset, const void *bytes, ssize_t written)
{
	uint64_t numbers[] = {inode, offset};
	struct text text = {bytes, written > 0 ? written : 0};
	if (written > 0)
		record(WRITE, 2, numbers, 1, &text);
}

static uint64_t place(int fd)
{
	struct stat found;
	if (fcntl(fd, F_GETFL) & O_APPEND)
		return fstat(fd, &found) == 0 ? found.st_size : 0;
	return lseek(fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	uint64_t inode = inode_of(fd);
	find();
	if (!inode)
		return real_write(fd, bytes, length);
	pthread_mutex_lock(&order);
	uint64_t offset = place(fd);
	ssize_t written = real_write(fd, bytes, length);
	record_write(inode, offset, bytes, written);
	pthread_mutex_unlock(&order);
	return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	if (!inode_of(fd))
		return REAL(writev)(fd, parts, count);
	ssize_t sum = 0;
	for (int i = 0; i < count; i++) {
		ssize_t written = write(fd, parts[i].iov_base, parts[i].iov_len);
		if (written < 0)
			return sum ? sum : written;
		sum += written;
		if ((size_t)written < parts[i].iov_len)
			break;
	}
	return sum;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
	uint64_t inode = inode_of(fd);
	pthread_mutex_lock(&order);
	ssize_t written = REAL(pwrite)(fd, bytes, length, offset);
	if (inode)
		record_write(inode, offset, bytes, written);
	pthread_mutex_unlock(&order);
	return written;
}
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return pwrite(fd, bytes, length, offset); }

int ftruncate(int fd, off_t length)
{
	uint64_t numbers[] = {inode_of(fd), length};
	pthread_mutex_lock(&order);
	int result = REAL(ftruncate)(fd, length);
	if (result == 0 && numbers[0])
		record(TRUNCATE, 2, numbers, 0, NULL);
	pthread_mutex_unlock(&order);
	return result;
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

static int synced(int fd, int (*real)(int))
{
	uint64_t inode = inode_of(fd);
	pthread_mutex_lock(&order);
	int result = real(fd);
	if (result == 0 && inode)
		record(SYNC, 1, &inode, 0, NULL);
	pthread_mutex_unlock(&order);
	return result;
}
int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

int renameat2(int from, const char *name, int to, const char *to_name, unsigned flags)
{
	char first[PATH_MAX], second[PATH_MAX];
	int recorded = path_at(from, name, first) | path_at(to, to_name, second);
	pthread_mutex_lock(&order);
	int result = REAL(renameat2)(from, name, to, to_name, flags);
	if (result == 0 && recorded)
		record_paths(flags ? OTHER : RENAME, first, second);
	pthread_mutex_unlock(&order);
	return result;
}
int renameat(int from, const char *name, int to, const char *to_name) { return renameat2(from, name, to, to_name, 0); }
int rename(const char *name, const char *to_name) { return renameat2(AT_FDCWD, name, AT_FDCWD, to_name, 0); }

int linkat(int from, const char *name, int to, const char *to_name, int flags)
{
	char first[PATH_MAX], second[PATH_MAX];
	int recorded = path_at(from, name, first) | path_at(to, to_name, second);
	pthread_mutex_lock(&order);
	int result = REAL(linkat)(from, name, to, to_name, flags);
	if (result == 0 && recorded)
		record_paths(LINK, first, second);
	pthread_mutex_unlock(&order);
	return result;
}
int link(const char *name, const char *to_name) { return linkat(AT_FDCWD, name, AT_FDCWD, to_name, 0); }

int unlinkat(int folder, const char *name, int flags)
{
	char path[PATH_MAX];
	int recorded = path_at(folder, name, path);
	pthread_mutex_lock(&order);
	int result = REAL(unlinkat)(folder, name, flags);
	if (result == 0 && recorded)
		record_paths(flags & AT_REMOVEDIR ? RMDIR : UNLINK, path, NULL);
	pthread_mutex_unlock(&order);
	return result;
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }

int mkdirat(int folder, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	int recorded = path_at(folder, name, path);
	pthread_mutex_lock(&order);
	int result = REAL(mkdirat)(folder, name, mode);
	if (result == 0 && recorded)
		record_made(MKDIR, path);
	pthread_mutex_unlock(&order);
	return result;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

// What the trial does not know of must not go by unnoticed.
int symlinkat(const char *target, int folder, const char *name)
{
	char path[PATH_MAX];
	if (path_at(folder, name, path))
		record_paths(OTHER, target, path);
	return REAL(symlinkat)(target, folder, name);
}
int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t length, unsigned flags)
{
	if (inode_of(to)) {
		// Copies are written instead, by the caller's second way.
		errno = ENOSYS;
		return -1;
	}
	return REAL(copy_file_range)(from, from_offset, to, to_offset, length, flags);
}
