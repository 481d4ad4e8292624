/* A pool of threads that carry a file store's operations out one by one. */
#include "backends/stores/file.h"

static struct pv_blk_io *wait_for_work(struct file_store *file)
{
    pthread_mutex_lock(&file->lock);
    while (!file->queued.head && !file->closing)
        pthread_cond_wait(&file->work, &file->lock);
    struct pv_blk_io *io = io_list_take(&file->queued);
    pthread_mutex_unlock(&file->lock);
    return io;
}

static void *worker(void *argument)
{
    struct file_store *file = argument;
    struct pv_blk_io *io;
    while ((io = wait_for_work(file)))
        file_carry_out(file, io);
    return NULL;
}

static int start(struct file_store *file)
{
    while (file->thread_count < file->most_threads) {
        int error = pthread_create(&file->threads[file->thread_count], NULL, worker, file);
        if (error)
            return -error;
        file->thread_count++;
    }
    return 0;
}

int file_threads_start(struct file_store *file)
{
    pthread_mutex_lock(&file->lock);
    int status = start(file);
    pthread_mutex_unlock(&file->lock);
    return status;
}

/* Starts the pool if necessary; when no thread can be made, the caller does the work. */
static bool enqueue(struct file_store *file, struct pv_blk_io **ios, unsigned count)
{
    pthread_mutex_lock(&file->lock);
    if (file->thread_count == 0)
        start(file);
    bool started = file->thread_count > 0;
    for (unsigned i = 0; i < count && started; i++)
        io_list_add(&file->queued, ios[i]);
    if (count == 1)
        pthread_cond_signal(&file->work);
    else
        pthread_cond_broadcast(&file->work);
    pthread_mutex_unlock(&file->lock);
    return started;
}

void file_threads_submit(struct pv_blk_store *store, struct pv_blk_io **ios, unsigned count)
{
    struct file_store *file = (struct file_store *)store;
    if (!enqueue(file, ios, count))
        for (unsigned i = 0; i < count; i++)
            file_carry_out(file, ios[i]);
}

void file_threads_stop(struct file_store *file)
{
    pthread_mutex_lock(&file->lock);
    file->closing = true;
    pthread_cond_broadcast(&file->work);
    pthread_mutex_unlock(&file->lock);
    for (unsigned i = 0; i < file->thread_count; i++)
        pthread_join(file->threads[i], NULL);
}
