/* vchan server|client DOMID PATH SIZE: an echo and its caller, over libxenvchan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxenvchan.h>

#define CHUNK 65536
#define ROUNDS 64

static void need(int condition, const char *what)
{
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void serve(struct libxenvchan *channel)
{
    char buffer[1000];
    int got;
    while ((got = libxenvchan_read(channel, buffer, sizeof buffer)) > 0)
        need(libxenvchan_send(channel, buffer, got) == got, "libxenvchan_send");
    printf("closed: %d\n", libxenvchan_is_open(channel));
}

static void call(struct libxenvchan *channel)
{
    static char sent[CHUNK], received[CHUNK];
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CHUNK; i++)
            sent[i] = (char)(i * 7 + round);
        for (int at = 0; at < CHUNK; at += 512) {
            need(libxenvchan_send(channel, sent + at, 512) == 512, "libxenvchan_send");
            need(libxenvchan_recv(channel, received + at, 512) == 512, "libxenvchan_recv");
        }
        need(!memcmp(sent, received, CHUNK), "what came back");
    }
    printf("echoed: %d\n", ROUNDS * CHUNK);
}

int main(int argc, char **argv)
{
    need(argc == 5, "arguments");
    int server = !strcmp(argv[1], "server");
    size_t size = strtoul(argv[4], NULL, 10);
    struct libxenvchan *channel =
        server ? libxenvchan_server_init(NULL, atoi(argv[2]), argv[3], size, size)
               : libxenvchan_client_init(NULL, atoi(argv[2]), argv[3]);
    need(channel != NULL, "libxenvchan_init");
    channel->blocking = 1;
    if (server) {
        puts("ready");
        fflush(stdout);
        serve(channel);
    } else {
        call(channel);
    }
    libxenvchan_close(channel);
    return 0;
}
