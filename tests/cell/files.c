/* What programs do with files, around calls of MPI at which the rank may be moved: whatever is open
 * then is open afterwards, at the same place. Prints a sum that does not depend on the host.
 * Arguments: rounds, or 0; a file: with 0 rounds, as many as until it exists; a folder to work in.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mpi.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int world_rank, world_size;
static uint64_t checksum = 1;

static void mix(uint64_t value)
{
    checksum = (checksum ^ value) * UINT64_C(1099511628211);
}

/* Where moves happen: all ranks meet. */
static void meet(void)
{
    uint64_t mine = checksum, all = 0;
    MPI_Allreduce(&mine, &all, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
    mix(all);
}

static void fail(const char *what)
{
    printf("rank %d: %s is broken: %s\n", world_rank, what, strerror(errno));
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 3);
}

/* Nothing is left open: the next number is always the same. */
static void expect_lowest(int expected)
{
    int fd = open("/dev/null", O_RDONLY);
    if (fd != expected)
        fail("the lowest free number");
    close(fd);
}

static void a_stream_is_written_and_read(void)
{
    char name[32], line[80];
    snprintf(name, sizeof(name), "lines.%d", world_rank);
    FILE *file = fopen(name, "w+");
    if (!file)
        fail("fopen");
    for (int i = 0; i < 500; i++) {
        fprintf(file, "line %d of rank %d\n", i, world_rank);
        if (i % 100 == 0)
            meet(); /* with unwritten bytes in its buffer */
    }
    rewind(file);
    for (int i = 0; i < 500; i++) {
        int n, of;
        if (i % 125 == 0)
            meet(); /* in the middle of what has been read ahead */
        if (!fgets(line, sizeof(line), file) || sscanf(line, "line %d of rank %d", &n, &of) != 2 ||
            n != i || of != world_rank)
            fail("a line");
    }
    mix((uint64_t)ftell(file));
    if (fclose(file) != 0 || unlink(name) != 0)
        fail("fclose");
}

static void descriptors_share_an_offset(void)
{
    char name[32], text[16] = "";
    snprintf(name, sizeof(name), "shared.%d", world_rank);
    int a = open(name, O_RDWR | O_CREAT | O_TRUNC, 0640), b = dup(a), c = fcntl(a, F_DUPFD, 50);
    int d = open(name, O_WRONLY | O_APPEND);
    if (a != 3 || b != 4 || c != 50 || d != 5 || write(a, "0123", 4) != 4)
        fail("dup");
    meet();
    if (lseek(b, 0, SEEK_CUR) != 4 || write(c, "4567", 4) != 4)
        fail("a shared offset");
    meet();
    if (write(d, "89", 2) != 2 || lseek(a, 0, SEEK_CUR) != 8 || lseek(d, 0, SEEK_CUR) != 10)
        fail("an appended file");
    meet();
    if (fcntl(d, F_GETFL) != (O_WRONLY | O_APPEND) || fcntl(c, F_GETFD) != 0)
        fail("flags");
    if (pread(b, text, sizeof(text), 0) != 10 || strcmp(text, "0123456789") != 0)
        fail("pread");
    struct iovec parts[2] = {{text, 3}, {text + 8, 3}};
    if (lseek(c, 2, SEEK_SET) != 2 || readv(a, parts, 2) != 6 || memcmp(text, "234", 3) != 0 ||
        memcmp(text + 8, "567", 3) != 0)
        fail("readv");
    close(a);
    meet();
    if (lseek(b, 0, SEEK_CUR) != 8 || close(b) != 0 || close(c) != 0 || close(d) != 0 ||
        unlink(name) != 0 || close(b) != -1 || errno != EBADF)
        fail("close");
}

static void the_output_goes_elsewhere(void)
{
    char name[32], text[64] = "";
    snprintf(name, sizeof(name), "output.%d", world_rank);
    fflush(stdout);
    int kept = dup(1), file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (dup2(file, 1) != 1)
        fail("dup2");
    printf("not to be seen ");
    meet();
    printf("by anybody");
    fflush(stdout);
    if (dup2(kept, 1) != 1 || close(kept) != 0)
        fail("dup2");
    meet();
    if (pread(file, text, sizeof(text) - 1, 0) != 25 ||
        strcmp(text, "not to be seen by anybody") != 0)
        fail("what was printed");
    close(file);
    unlink(name);
}

static void folders_and_masks(void)
{
    char name[32], cwd[512], again[512];
    struct stat status;
    if (!getcwd(cwd, sizeof(cwd)))
        fail("getcwd");
    snprintf(name, sizeof(name), "folder.%d", world_rank);
    mode_t mask = umask(0);
    if (mkdir(name, 0777) != 0 || chdir(name) != 0)
        fail("chdir");
    meet();
    int fd = open("file", O_RDWR | O_CREAT, 0666);
    if (fstat(fd, &status) != 0 || (status.st_mode & 0777) != 0666)
        fail("umask");
    umask(mask);
    if (!getcwd(again, sizeof(again)) || strncmp(again, cwd, strlen(cwd)) != 0 ||
        strcmp(again + strlen(cwd) + 1, name) != 0)
        fail("getcwd");
    DIR *folder = opendir(".");
    unsigned entries = 0;
    meet();
    while (readdir(folder)) {
        entries++;
        meet();
    }
    closedir(folder);
    if (entries != 3 || stat("../", &status) != 0 || !S_ISDIR(status.st_mode))
        fail("readdir");
    close(fd);
    if (unlink("file") != 0 || chdir("..") != 0 || rmdir(name) != 0)
        fail("rmdir");
    if (access(name, F_OK) != -1 || errno != ENOENT)
        fail("access");
}

static void mapped_and_temporary_files(void)
{
    FILE *file = tmpfile(); /* has no name: the rank stays until it is closed */
    int fd = open("/proc/self/exe", O_RDONLY);
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    if (!file || fd < 0 || map == MAP_FAILED || memcmp(map, "\177ELF", 4) != 0)
        fail("mmap");
    fputs("text", file);
    rewind(file);
    if (fgetc(file) != 't')
        fail("tmpfile");
    fclose(file);
    close(fd);
    map[0] = 'x';
    meet();
    if (map[0] != 'x' || map[1] != 'E' || munmap(map, 4096) != 0)
        fail("mmap");
}

static void pipes_stay(void)
{
    int ends[2];
    char text[8];
    struct pollfd fds[2];
    fd_set set;
    if (pipe(ends) != 0)
        fail("pipe");
    fds[0] = (struct pollfd){.fd = ends[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = ends[1], .events = POLLOUT};
    if (poll(fds, 2, 1000) != 1 || fds[0].revents || !fds[1].revents || poll(fds, 1, 2) != 0)
        fail("poll");
    meet(); /* it cannot be moved here */
    if (write(ends[1], "abc", 3) != 3 || poll(fds, 1, -1) != 1)
        fail("poll");
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    if (select(ends[0] + 1, &set, NULL, NULL, NULL) != 1 || !FD_ISSET(ends[0], &set) ||
        read(ends[0], text, sizeof(text)) != 3)
        fail("select");
    close(ends[1]);
    if (read(ends[0], text, sizeof(text)) != 0)
        fail("the end of a pipe");
    close(ends[0]);
}

/* Whether the file is there, as rank 0 sees it: all make as many rounds. */
static int is_to_end(const char *path)
{
    int end = world_rank == 0 && access(path, F_OK) == 0;
    MPI_Bcast(&end, 1, MPI_INT, 0, MPI_COMM_WORLD);
    return end;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    int rounds = atoi(argv[1]), i;
    char line[80];
    if (chdir(argv[3]) != 0)
        fail("the folder");
    for (i = 0; rounds ? i < rounds : !is_to_end(argv[2]); i++) {
        expect_lowest(3);
        a_stream_is_written_and_read();
        descriptors_share_an_offset();
        the_output_goes_elsewhere();
        folders_and_masks();
        mapped_and_temporary_files();
        pipes_stay();
    }
    expect_lowest(3);
    snprintf(line, sizeof(line), "rank %d of %d: %016llx after %d rounds\n", world_rank, world_size,
             (unsigned long long)checksum, i);
    fputs(line, stdout);
    MPI_Finalize();
    return 0;
}
