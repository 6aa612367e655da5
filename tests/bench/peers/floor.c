/* The floor of a fan-out: one send() per subscriber with bytes prepared once, and nothing else.
 *
 * It answers just enough of HTTP, WebSocket and SSE for the load generator, whose frames and upgrades come
 * in one piece: whatever starts with "GET" becomes a subscriber, a POST is a publication whose
 * "data" ends its body, and a frame of a client is answered by what its connect or subscribe command would
 * get. It checks nothing, and is no server for anybody else. It prints its port and runs until it is ended.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 65536
#define BYTES_MAX 65536

enum kind { NEW, WEBSOCKET, SSE };

static enum kind kinds[CLIENTS_MAX];
static char *rests[CLIENTS_MAX];
static int subscribers[CLIENTS_MAX], place[CLIENTS_MAX], count;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *bytes, size_t length) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) return;
    if (sent != (ssize_t)length) fprintf(stderr, "a subscriber did not take %zu bytes\n", length);
}

static void send_text(int fd, const char *text) { send_all(fd, text, strlen(text)); }

static void add(int fd, enum kind kind) {
    kinds[fd] = kind;
    place[fd] = count;
    subscribers[count++] = fd;
}

static void leave(int fd) {
    if (kinds[fd] != NEW) {
        int last = subscribers[--count];
        subscribers[place[fd]] = last;
        place[last] = place[fd];
        kinds[fd] = NEW;
    }
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

/* One text frame of a server: RFC 6455, section 5.2. */
static size_t frame(char *out, const char *text, size_t length) {
    size_t head = length < 126 ? 2 : 4;
    out[0] = (char)0x81;
    if (head == 2) {
        out[1] = (char)length;
    } else {
        out[1] = 126;
        out[2] = (char)(length >> 8);
        out[3] = (char)(length & 255);
    }
    memcpy(out + head, text, length);
    return head + length;
}

static void publish(int fd, const char *body) {
    static char text[BYTES_MAX], framed[BYTES_MAX], event[BYTES_MAX];
    const char *data = strstr(body, "\"data\":");
    if (!data) fail("a publication without data");
    data += 7;
    int length = snprintf(text, sizeof text - 16, "{\"push\":{\"channel\":\"plain:bench\",\"pub\":{\"data\":%.*s}}}",
                          (int)strlen(data) - 1, data);
    size_t framed_length = frame(framed, text, (size_t)length);
    size_t event_length = (size_t)snprintf(event, sizeof event, "data: %s\n\n", text);
    for (int at = 0; at < count; at++) {
        int to = subscribers[at];
        if (kinds[to] == WEBSOCKET) send_all(to, framed, framed_length);
        else send_all(to, event, event_length);
    }
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"result\":{}}");
}

/* Publications may come joined (pipelined), or in pieces: each body ends where its length says. What is left
 * of the last one waits for its rest. */
static void publish_all(int fd, const char *bytes, size_t length) {
    static char all[2 * BYTES_MAX];
    size_t before = rests[fd] ? strlen(rests[fd]) : 0;
    if (before + length >= sizeof all) fail("a request that is too long");
    if (before) memcpy(all, rests[fd], before);
    free(rests[fd]);
    rests[fd] = NULL;
    memcpy(all + before, bytes, length);
    char *at = all, *end = all + before + length;
    *end = 0;
    while (at < end) {
        char *head = strstr(at, "\r\n\r\n"), *field = strcasestr(at, "content-length:");
        char *next = head && field && field < head ? head + 4 + atoi(field + 15) : NULL;
        if (!next || next > end) {
            rests[fd] = strdup(at);
            return;
        }
        char kept = *next;
        *next = 0;
        publish(fd, head + 4);
        *next = kept;
        at = next;
    }
}

/* The commands come one per frame: connect has id 1, subscribe id 2. */
static void answer(int fd, const char *bytes, size_t length) {
    static char unmasked[BYTES_MAX], out[BYTES_MAX];
    size_t head = (bytes[1] & 127) == 126 ? 4 : 2;
    if (length < head + 4) return;
    const char *mask = bytes + head, *payload = mask + 4;
    length -= head + 4;
    for (size_t at = 0; at < length; at++) unmasked[at] = payload[at] ^ mask[at & 3];
    unmasked[length] = 0;
    const char *reply = strstr(unmasked, "\"subscribe\"") ? "{\"id\":2,\"subscribe\":{}}" : "{\"id\":1,\"connect\":{}}";
    send_all(fd, out, frame(out, reply, strlen(reply)));
}

static void serve(int fd) {
    static char bytes[BYTES_MAX];
    ssize_t length = recv(fd, bytes, sizeof bytes - 1, 0);
    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) leave(fd);
        return;
    }
    bytes[length] = 0;
    if (kinds[fd] == WEBSOCKET) {
        answer(fd, bytes, (size_t)length);
    } else if (rests[fd] || !strncmp(bytes, "POST", 4)) {
        publish_all(fd, bytes, (size_t)length);
    } else if (strcasestr(bytes, "upgrade: websocket")) {
        send_text(fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
        add(fd, WEBSOCKET);
    } else {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"connect\":{}}\n\n");
        add(fd, SSE);
    }
}

static void accept_all(int listener, int epoll) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= CLIENTS_MAX) fail("too many clients");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) fail("epoll_ctl");
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event events[256], event = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) fail("epoll_ctl");
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int at = 0; at < ready; at++) {
            if (events[at].data.fd == listener) accept_all(listener, epoll);
            else serve(events[at].data.fd);
        }
    }
}
