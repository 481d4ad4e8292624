/* Maps survive what others do to their files, and other faults end the process as ever. */
#include "pvdrivers/backends/file_map.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64

static size_t page;

static int make_file(void)
{
    char name[] = "/tmp/file_map.XXXXXX";
    int fd = mkstemp(name);
    assert(fd >= 0 && unlink(name) == 0);
    assert(ftruncate(fd, (off_t)(PAGES * page)) == 0);
    return fd;
}

static void stores_reach_the_file(void)
{
    int fd = make_file();
    struct pv_file_map *map = pv_file_map_create(fd, PAGES * page - 100);
    uint8_t *memory = pv_file_map_memory(map), found;
    memory[5] = 42;
    assert(pread(fd, &found, 1, 5) == 1 && found == 42);
    assert(!pv_file_map_is_lost(map));
    pv_file_map_destroy(map);
    close(fd);
    assert(!pv_file_map_create(-1, page)); /* no file */
}

static void what_is_left_of_a_truncated_file_stays(void)
{
    int fd = make_file();
    struct pv_file_map *map = pv_file_map_create(fd, PAGES * page);
    volatile uint8_t *memory = pv_file_map_memory(map);
    memory[0] = 1;
    memory[page] = 2;
    assert(ftruncate(fd, (off_t)page) == 0);
    assert(memory[5 * page] == 0 && pv_file_map_is_lost(map)); /* in the middle of what is gone */
    memory[5 * page] = 3;
    assert(memory[page] == 0); /* in front of that, gone as well */
    memory[page] = 4;
    assert(memory[0] == 1 && memory[page] == 4 && memory[5 * page] == 3);
    memory[1] = 5;
    uint8_t found;
    assert(pread(fd, &found, 1, 1) == 1 && found == 5);
    assert(ftruncate(fd, (off_t)(PAGES * page)) == 0); /* too late */
    assert(memory[page] == 4 && pv_file_map_is_lost(map));
    pv_file_map_destroy(map);
    close(fd);
}

/* That another thread maps the page it stores to is what this is about, and no race: the kernel has
 * an access either before that, where it faults, or behind. */
__attribute__((no_sanitize("thread"))) static void *fill(void *argument)
{
    volatile uint8_t *bytes = argument; /* one byte of each page is this thread's */
    for (int round = 0; round < 100; round++)
        for (size_t i = 0; i < PAGES; i++)
            bytes[i * page] = 7;
    for (size_t i = 0; i < PAGES; i++)
        assert(bytes[i * page] == 7);
    return NULL;
}

/* None of the threads loses what it has stored once the file was gone. */
static void threads_meet_the_end_together(void)
{
    for (int round = 0; round < 200; round++) {
        int fd = make_file();
        struct pv_file_map *map = pv_file_map_create(fd, PAGES * page);
        uint8_t *memory = pv_file_map_memory(map);
        assert(ftruncate(fd, 0) == 0);
        pthread_t threads[4];
        for (int i = 0; i < 4; i++)
            assert(pthread_create(&threads[i], NULL, fill, memory + i) == 0);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        assert(pv_file_map_is_lost(map));
        pv_file_map_destroy(map);
        close(fd);
    }
}

static void exit_seven(int number)
{
    (void)number;
    _exit(7);
}

static int status_of_a_foreign_fault(bool handled)
{
    pid_t child = fork();
    assert(child >= 0);
    if (child == 0) {
        signal(SIGBUS, handled ? exit_seven : SIG_DFL);
        int fd = make_file();
        pv_file_map_create(fd, PAGES * page);
        volatile uint8_t *foreign = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        assert(foreign != MAP_FAILED && ftruncate(fd, 0) == 0);
        foreign[0] = 1;
        _exit(0);
    }
    int status;
    assert(waitpid(child, &status, 0) == child);
    return status;
}

int main(void)
{
    page = (size_t)getpagesize();
    /* First, since they are about the first map of a process. */
    int status = status_of_a_foreign_fault(true);
    assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = status_of_a_foreign_fault(false);
    assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    stores_reach_the_file();
    what_is_left_of_a_truncated_file_stays();
    threads_meet_the_end_together();
    return 0;
}
