/* What the scenarios of librabbitmq's driver work with: connections, what they hear, and complaints. */

#ifndef DRIVER_H
#define DRIVER_H

#include <amqp.h>
#include <stdbool.h>
#include <stddef.h>

/* How long anything that must come is waited for. */
enum { WAIT_SECONDS = 20 };

/* A message, however it came. */
struct delivery {
    amqp_message_t message;
    uint64_t tag;
    bool redelivered;
    char exchange[256];
    char routing_key[256];
    struct delivery *next;
};

/* A connection and what it has heard. */
struct connection {
    amqp_connection_state_t state;
    struct delivery *first, **last;
    uint64_t published, acked, nacked;
    char returned[300];
    char cancelled[256];
    char closed[300];
};

/* How a connection is made; zero is the usual way. */
struct manner {
    int heartbeat;
    const char *ca;
    bool certificate;
};

/* Ends the scenario. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition) ((condition) ? (void)0 : fail("%s:%d %s", __FILE__, __LINE__, #condition))

/* The environment's variable, skipping if there is none. */
const char *variable(const char *name);

/* A fresh name. */
const char *name(const char *what);

/* Text with something in it replaced, and text made as printf does; nobody frees either. */
const char *replaced(const char *text, const char *what, const char *with);
const char *made(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A connection with channel 1 open in confirm mode; NULL if there is none, `last_refusal` says why. */
struct connection *try_connect(const char *url, struct manner manner);
struct connection *connect_to(const char *url, struct manner manner);
extern char last_refusal[512];

/* Whether the last call went well; otherwise `last_refusal` is "code text" or the library's words. */
bool went_well(struct connection *c);
#define MUST(c) (went_well(c) ? (void)0 : fail("%s:%d %s", __FILE__, __LINE__, last_refusal))

void open_channel(struct connection *c, amqp_channel_t channel);

/* An exclusive queue on channel 1. */
void declare(struct connection *c, const char *queue, amqp_table_t arguments);
unsigned ready(struct connection *c, amqp_channel_t channel, const char *queue);

/* Publishes one on channel 1 and waits: "ack", "nack" or what came back. */
const char *publish(struct connection *c, const char *exchange, const char *key, bool mandatory,
                    const amqp_basic_properties_t *properties, amqp_bytes_t body);
const char *publish_on(struct connection *c, amqp_channel_t channel, const char *exchange, const char *key,
                       bool mandatory, const amqp_basic_properties_t *properties, amqp_bytes_t body);

/* Publishes to a queue, transient; it has to be confirmed. */
void send_to(struct connection *c, const char *queue, const char *body);
extern const amqp_basic_properties_t TRANSIENT;

/* Gets one; NULL if there is none. */
struct delivery *get(struct connection *c, const char *queue, bool no_ack);

void consume(struct connection *c, const char *queue);

/* The next that the consumer of channel 1 is given. */
struct delivery *next(struct connection *c);
bool has_body(const struct delivery *d, const char *body);

/* Hears one frame, at most so long; false if none came. Everything that is heard is kept in `c`. */
bool hear(struct connection *c, double seconds);

/* Has the broker killed or stopped and started again, or a second client frozen. */
void ask(const char *what);

/* Runs one feature; gives a remark, or NULL. In scenarios.c. */
const char *run(const char *feature);

#endif
