/* Faults of the disk, for tests: preloaded before libc, so that Python, libgit2 and git all meet them.

   Every call that changes something below the watched folder is an operation, counted across all processes that
   share the control file. At the chosen one the program dies (a write is torn in two), or from there on the disk is
   full, read only or broken. Nothing happens until faults_arm() is called. What is synced can be copied to a shadow
   folder by inode, from which the test rebuilds what a power cut would leave. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { LISTEN, KILL, FULL, READ_ONLY, BROKEN_SYNC };

struct control {
    uint64_t armed, count, at, fault;
    char root[PATH_MAX], log[PATH_MAX], shadow[PATH_MAX];
};

static struct control *control;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    control = shared == MAP_FAILED ? NULL : shared;
    syscall(SYS_close, file);
}

size_t faults_control_size(void) { return sizeof(struct control); }

void faults_arm(const char *root, const char *log, const char *shadow, uint64_t at, uint64_t fault) {
    snprintf(control->root, PATH_MAX, "%s", root);
    snprintf(control->log, PATH_MAX, "%s", log);
    snprintf(control->shadow, PATH_MAX, "%s", shadow);
    control->count = 0;
    control->at = at;
    control->fault = fault;
    control->armed = 1;
}

/* The absolute path of what a call names, "" when it is of no concern. */
static const char *place(char *buffer, int folder, const char *path) {
    buffer[0] = 0;
    if (!control || !control->armed) return buffer;
    char link[64], base[PATH_MAX] = "";
    if (path && path[0] == '/') {
        snprintf(buffer, PATH_MAX, "%s", path);
    } else {
        if (folder == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, base, sizeof base - 1);
        base[length < 0 ? 0 : length] = 0;
        int written = snprintf(buffer, PATH_MAX, "%s%s%s", base, path ? "/" : "", path ? path : "");
        if (written >= PATH_MAX) buffer[0] = 0;
    }
    size_t length = strlen(control->root);
    int inside = !strncmp(buffer, control->root, length) && (buffer[length] == '/' || !buffer[length]);
    if (!inside) buffer[0] = 0;
    return buffer;
}

static void note(uint64_t number, const char *kind, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%lu %s %s\n", (unsigned long)number, kind, path);
    int file = syscall(SYS_openat, AT_FDCWD, control->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (length > 0) syscall(SYS_write, file, line, (size_t)length);
    syscall(SYS_close, file);
}

static void die(void) {
    kill(0, SIGKILL);
    for (;;) pause();
}

/* Count an operation. Returns the error it must fail with, 0 for none, -1 when it is the one to die in. */
static int meet(const char *kind, int grows, const char *path) {
    if (!path[0]) return 0;
    uint64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    note(number, kind, path);
    if (!control->at || number < control->at) return 0;
    switch (control->fault) {
    case KILL: return number == control->at ? -1 : 0;
    case FULL: return grows ? ENOSPC : 0;
    case READ_ONLY: return EROFS;
    case BROKEN_SYNC: return strcmp(kind, "sync") ? 0 : EIO;
    default: return 0;
    }
}

#define MEET(kind, grows, path)                                                                                       \
    do {                                                                                                              \
        int error_ = meet(kind, grows, path);                                                                         \
        if (error_ < 0) die();                                                                                        \
        if (error_ > 0) {                                                                                             \
            errno = error_;                                                                                           \
            return -1;                                                                                                \
        }                                                                                                             \
    } while (0)

static int changes(int flags) { return flags & (O_CREAT | O_TRUNC); }

#define OPEN(name, folder, ...)                                                                                       \
    mode_t mode = 0;                                                                                                  \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                              \
        va_list words;                                                                                                \
        va_start(words, flags);                                                                                       \
        mode = va_arg(words, mode_t);                                                                                 \
        va_end(words);                                                                                                \
    }                                                                                                                 \
    char buffer[PATH_MAX];                                                                                            \
    if (changes(flags)) MEET("create", 1, place(buffer, folder, path));                                               \
    return REAL(name)(__VA_ARGS__, mode)

int open(const char *path, int flags, ...) { OPEN(open, AT_FDCWD, path, flags); }
int open64(const char *path, int flags, ...) { OPEN(open64, AT_FDCWD, path, flags); }
int openat(int folder, const char *path, int flags, ...) { OPEN(openat, folder, folder, path, flags); }
int openat64(int folder, const char *path, int flags, ...) { OPEN(openat64, folder, folder, path, flags); }

int creat(const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    MEET("create", 1, place(buffer, AT_FDCWD, path));
    return REAL(creat)(path, mode);
}

/* A write that the program dies in puts half of its bytes on the disk. */
#define WRITE(half, all)                                                                                              \
    char buffer[PATH_MAX];                                                                                            \
    int error = meet("write", 1, place(buffer, file, NULL));                                                          \
    if (error < 0) {                                                                                                  \
        if (size > 1) (void)!half;                                                                                    \
        die();                                                                                                        \
    }                                                                                                                 \
    if (error > 0) {                                                                                                  \
        errno = error;                                                                                                \
        return -1;                                                                                                    \
    }                                                                                                                 \
    return all

ssize_t write(int file, const void *data, size_t size) {
    WRITE(REAL(write)(file, data, size / 2), REAL(write)(file, data, size));
}
ssize_t pwrite(int file, const void *data, size_t size, off_t offset) {
    WRITE(REAL(pwrite)(file, data, size / 2, offset), REAL(pwrite)(file, data, size, offset));
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t offset) {
    WRITE(REAL(pwrite64)(file, data, size / 2, offset), REAL(pwrite64)(file, data, size, offset));
}
ssize_t writev(int file, const struct iovec *parts, int number) {
    size_t size = number;
    WRITE(REAL(writev)(file, parts, number / 2), REAL(writev)(file, parts, number));
}
ssize_t sendfile(int file, int from, off_t *offset, size_t size) {
    WRITE(REAL(sendfile)(file, from, offset, size / 2), REAL(sendfile)(file, from, offset, size));
}
ssize_t sendfile64(int file, int from, off64_t *offset, size_t size) {
    WRITE(REAL(sendfile64)(file, from, offset, size / 2), REAL(sendfile64)(file, from, offset, size));
}

int ftruncate(int file, off_t length) {
    char buffer[PATH_MAX];
    MEET("truncate", 1, place(buffer, file, NULL));
    return REAL(ftruncate)(file, length);
}
int ftruncate64(int file, off64_t length) {
    char buffer[PATH_MAX];
    MEET("truncate", 1, place(buffer, file, NULL));
    return REAL(ftruncate64)(file, length);
}

int rename(const char *old, const char *new) {
    char buffer[PATH_MAX];
    MEET("rename", 0, place(buffer, AT_FDCWD, new));
    return REAL(rename)(old, new);
}
int renameat(int from, const char *old, int to, const char *new) {
    char buffer[PATH_MAX];
    MEET("rename", 0, place(buffer, to, new));
    return REAL(renameat)(from, old, to, new);
}
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) {
    char buffer[PATH_MAX];
    MEET("rename", 0, place(buffer, to, new));
    return REAL(renameat2)(from, old, to, new, flags);
}
int link(const char *old, const char *new) {
    char buffer[PATH_MAX];
    MEET("link", 1, place(buffer, AT_FDCWD, new));
    return REAL(link)(old, new);
}
int linkat(int from, const char *old, int to, const char *new, int flags) {
    char buffer[PATH_MAX];
    MEET("link", 1, place(buffer, to, new));
    return REAL(linkat)(from, old, to, new, flags);
}
int symlink(const char *target, const char *new) {
    char buffer[PATH_MAX];
    MEET("link", 1, place(buffer, AT_FDCWD, new));
    return REAL(symlink)(target, new);
}
int unlink(const char *path) {
    char buffer[PATH_MAX];
    MEET("unlink", 0, place(buffer, AT_FDCWD, path));
    return REAL(unlink)(path);
}
int unlinkat(int folder, const char *path, int flags) {
    char buffer[PATH_MAX];
    MEET("unlink", 0, place(buffer, folder, path));
    return REAL(unlinkat)(folder, path, flags);
}
int rmdir(const char *path) {
    char buffer[PATH_MAX];
    MEET("unlink", 0, place(buffer, AT_FDCWD, path));
    return REAL(rmdir)(path);
}
int mkdir(const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    MEET("mkdir", 1, place(buffer, AT_FDCWD, path));
    return REAL(mkdir)(path, mode);
}
int mkdirat(int folder, const char *path, mode_t mode) {
    char buffer[PATH_MAX];
    MEET("mkdir", 1, place(buffer, folder, path));
    return REAL(mkdirat)(folder, path, mode);
}

/* --- what is safe from a power cut: synced content by inode, synced folders as lists of inodes ------------------- */

static int shadow_file(const char *kind, unsigned long inode) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s-%lu", control->shadow, kind, inode);
    return syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

static void keep_content(const char *path, unsigned long inode) {
    char name[PATH_MAX + 64], data[65536];
    snprintf(name, sizeof name, "%s/pin-%lu", control->shadow, inode);
    REAL(linkat)(AT_FDCWD, path, AT_FDCWD, name, 0); /* so that the inode is not given to another file */
    int from = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC), to = shadow_file("file", inode);
    for (ssize_t got; (got = syscall(SYS_read, from, data, sizeof data)) > 0;) syscall(SYS_write, to, data, got);
    syscall(SYS_close, from);
    syscall(SYS_close, to);
}

static void keep_names(const char *path, unsigned long inode) {
    int to = shadow_file("folder", inode);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char line[PATH_MAX];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        int length = snprintf(line, sizeof line, "%c %lu %s\n", entry->d_type == DT_DIR ? 'd' : 'f',
                              (unsigned long)entry->d_ino, entry->d_name);
        syscall(SYS_write, to, line, (size_t)length);
    }
    if (folder) closedir(folder);
    syscall(SYS_close, to);
}

/* Journalling file systems keep a folder's own name when they keep its content. */
static void keep_way(char *path) {
    struct stat above, here;
    if (!strcmp(path, control->root) || stat(path, &here)) return;
    char *slash = strrchr(path, '/');
    *slash = 0;
    if (!stat(path, &above)) {
        char name[PATH_MAX + 64], line[PATH_MAX];
        snprintf(name, sizeof name, "%s/folder-%lu", control->shadow, (unsigned long)above.st_ino);
        int to = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        int length = snprintf(line, sizeof line, "d %lu %s\n", (unsigned long)here.st_ino, slash + 1);
        syscall(SYS_write, to, line, (size_t)length);
        syscall(SYS_close, to);
    }
    keep_way(path);
}

static void keep(const char *path) {
    struct stat found;
    char way[PATH_MAX];
    if (!control->shadow[0] || stat(path, &found)) return;
    if (!S_ISDIR(found.st_mode)) {
        keep_content(path, found.st_ino);
        return;
    }
    keep_names(path, found.st_ino);
    snprintf(way, sizeof way, "%s", path);
    keep_way(way);
}

#define SYNC(name)                                                                                                    \
    char buffer[PATH_MAX];                                                                                            \
    const char *path = place(buffer, file, NULL);                                                                     \
    MEET("sync", 0, path);                                                                                            \
    if (path[0]) keep(path);                                                                                          \
    return path[0] ? 0 : REAL(name)(file) /* the test's own disk need not turn for it */

int fsync(int file) { SYNC(fsync); }
int fdatasync(int file) { SYNC(fdatasync); }
