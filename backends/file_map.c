#include "pvdrivers/backends/file_map.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct pv_file_map {
    uint8_t *memory;
    size_t size; /* bytes, whole pages */
    size_t kept; /* bytes that are still the file's; those behind have been replaced */
    struct pv_file_map *next;
};

/* For the list and for `kept`. The handler may take it: SIGBUS comes from an access to a map, and
 * no thread makes one with the lock held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct pv_file_map *maps;
static struct sigaction before;

/* A truncated file ends somewhere, so all pages behind the one that was accessed are gone too. */
static bool replace(struct pv_file_map *map, size_t offset)
{
    size_t page = offset & ~((size_t)getpagesize() - 1);
    if (page >= map->kept)
        return true; /* another thread was faster */
    void *memory = mmap(map->memory + page, map->kept - page, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    map->kept = page;
    return true;
}

static bool replace_page_at(uintptr_t address)
{
    bool replaced = false;
    pthread_mutex_lock(&lock);
    for (struct pv_file_map *map = maps; map && !replaced; map = map->next)
        if (address - (uintptr_t)map->memory < map->size)
            replaced = replace(map, address - (uintptr_t)map->memory);
    pthread_mutex_unlock(&lock);
    return replaced;
}

static void pass_on(int number, siginfo_t *info, void *context)
{
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(number);
    } else {
        sigaction(number, &before, NULL);
        raise(number); /* as soon as this handler returns */
    }
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code != BUS_ADRERR || !replace_page_at((uintptr_t)info->si_addr))
        pass_on(number, info, context);
    errno = saved;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
}

struct pv_file_map *pv_file_map_create(int fd, size_t size)
{
    static pthread_once_t installed = PTHREAD_ONCE_INIT;
    pthread_once(&installed, install);
    struct pv_file_map *map = calloc(1, sizeof *map);
    if (!map)
        return NULL;
    size_t page = (size_t)getpagesize();
    map->size = map->kept = (size + page - 1) / page * page;
    void *memory = mmap(NULL, map->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        free(map);
        return NULL;
    }
    map->memory = memory;
    pthread_mutex_lock(&lock);
    map->next = maps;
    maps = map;
    pthread_mutex_unlock(&lock);
    return map;
}

void *pv_file_map_memory(const struct pv_file_map *map)
{
    return map->memory;
}

bool pv_file_map_is_lost(const struct pv_file_map *map)
{
    pthread_mutex_lock(&lock);
    bool lost = map->kept < map->size;
    pthread_mutex_unlock(&lock);
    return lost;
}

void pv_file_map_destroy(struct pv_file_map *map)
{
    pthread_mutex_lock(&lock);
    struct pv_file_map **link = &maps;
    while (*link != map)
        link = &(*link)->next;
    *link = map->next;
    pthread_mutex_unlock(&lock);
    munmap(map->memory, map->size);
    free(map);
}
