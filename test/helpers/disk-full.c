/*
 * LD_PRELOAD for a PostgreSQL server whose disk a test fills. While the file named by DISK_FULL_CONTROL is there, whatever
 * would make a file larger or write into one whose path holds the text in it (such as /base/ or /pg_wal/) fails with ENOSPC,
 * as it would on a file system of that path's own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_full(int fd)
{
    const char *control = getenv("DISK_FULL_CONTROL");
    char text[64], link[32], path[4096];
    int saved = errno, full = 0, file;
    ssize_t n;

    if (control == NULL || (file = open(control, O_RDONLY | O_CLOEXEC)) < 0) {
        errno = saved;
        return 0;
    }
    n = syscall(SYS_read, file, text, sizeof text - 1);
    close(file);
    if (n > 0) {
        text[n] = 0;
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        n = readlink(link, path, sizeof path - 1);
        if (n > 0) {
            path[n] = 0;
            full = strstr(path, text) != NULL;
        }
    }
    errno = full ? ENOSPC : saved;
    return full;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return is_full(fd) ? -1 : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return is_full(fd) ? -1 : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return is_full(fd) ? -1 : REAL(pwrite64)(fd, data, size, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return is_full(fd) ? -1 : REAL(pwritev)(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return is_full(fd) ? -1 : REAL(pwritev64)(fd, parts, count, at); }
int posix_fallocate(int fd, off_t from, off_t size) { return is_full(fd) ? ENOSPC : REAL(posix_fallocate)(fd, from, size); }
int posix_fallocate64(int fd, off64_t from, off64_t size) { return is_full(fd) ? ENOSPC : REAL(posix_fallocate64)(fd, from, size); }
