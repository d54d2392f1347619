/* The driver of librabbitmq: runs the features it is told, a JSON line for each.
 *
 * In come the broker's URLs and FEATURES from the environment (see ../README.md). `driver frozen QUEUE`
 * is the client that will stand still. */

#define _GNU_SOURCE
#include "driver.h"

#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const amqp_basic_properties_t TRANSIENT = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 1};

char last_refusal[512];

static jmp_buf ended;
static char why[600];
static const char *result;

static void say(const char *first, const char *first_text, const char *second, const char *second_text,
                const char *third, const char *third_text) {
    const char *parts[] = {first, first_text, second, second_text, third, third_text};
    putchar('{');
    for (int i = 0; i < 6 && parts[i]; i++) {
        fputs(i == 0 ? "\"" : i % 2 ? "\":\"" : "\",\"", stdout);
        for (const char *c = parts[i]; *c; c++) {
            if (*c == '"' || *c == '\\') putchar('\\');
            putchar((unsigned char)*c < ' ' ? ' ' : *c);
        }
    }
    puts("\"}");
    fflush(stdout);
}

int main(int count, char **arguments) {
    if (count == 3 && strcmp(arguments[1], "frozen") == 0) {
        /* Holds a message, unacked: the one who started us stops this process. */
        struct connection *c = connect_to(variable("AMQP_URL"), (struct manner){.heartbeat = 1});
        consume(c, arguments[2]);
        next(c);
        say("ready", arguments[2], NULL, NULL, NULL, NULL);
        for (;;) hear(c, 1);
    }
    char *features = strdup(variable("FEATURES")), *rest = features;
    for (char *feature; (feature = strsep(&rest, ",")) != NULL;) {
        const char *remark = NULL;
        why[0] = 0;
        result = "ok";
        if (setjmp(ended) == 0) remark = run(feature);
        say("feature", feature, "result", result, "text", remark ? remark : why);
    }
    free(features);
    return 0;
}

static _Noreturn void end(const char *how, const char *format, va_list arguments) {
    result = how;
    vsnprintf(why, sizeof why, format, arguments);
    longjmp(ended, 1);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end("fail", format, arguments);
}

void skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    end("skip", format, arguments);
}

const char *variable(const char *name) {
    const char *value = getenv(name);
    if (!value || !*value) skip("no %s", name);
    return value;
}

const char *made(const char *format, ...) {
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) abort();
    va_end(arguments);
    return text;
}

const char *name(const char *what) {
    static int count;
    return made("fleet-%s-%d-%d", what, getpid(), ++count);
}

const char *replaced(const char *text, const char *what, const char *with) {
    const char *at = strstr(text, what);
    return at ? made("%.*s%s%s", (int)(at - text), text, with, at + strlen(what)) : text;
}

static bool explained(amqp_rpc_reply_t reply) {
    last_refusal[0] = 0;
    if (reply.reply_type == AMQP_RESPONSE_NORMAL) return true;
    if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_t *close = reply.reply.decoded;
        snprintf(last_refusal, sizeof last_refusal, "%d %.*s", close->reply_code, (int)close->reply_text.len,
                 (char *)close->reply_text.bytes);
    } else if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD) {
        amqp_connection_close_t *close = reply.reply.decoded;
        snprintf(last_refusal, sizeof last_refusal, "%d %.*s", close->reply_code, (int)close->reply_text.len,
                 (char *)close->reply_text.bytes);
    } else {
        snprintf(last_refusal, sizeof last_refusal, "%s", amqp_error_string2(reply.library_error));
    }
    return false;
}

bool went_well(struct connection *c) {
    return explained(amqp_get_rpc_reply(c->state));
}

static amqp_socket_t *new_socket(amqp_connection_state_t state, struct manner manner) {
    if (!manner.ca) return amqp_tcp_socket_new(state);
    const char *certs = variable("CERTS");
    amqp_socket_t *socket = amqp_ssl_socket_new(state);
    amqp_ssl_socket_set_cacert(socket, made("%s/%s", certs, manner.ca));
    if (manner.certificate) {
        amqp_ssl_socket_set_key(socket, made("%s/client.pem", certs), made("%s/client.key", certs));
    }
    return socket;
}

struct connection *try_connect(const char *url, struct manner manner) {
    struct amqp_connection_info to;
    char *parsed = strdup(url);
    if (amqp_parse_url(parsed, &to) != AMQP_STATUS_OK) fail("%s is no URL to librabbitmq", url);
    struct connection *c = calloc(1, sizeof *c);
    c->last = &c->first;
    c->state = amqp_new_connection();
    struct timeval timeout = {.tv_sec = WAIT_SECONDS};
    int status = amqp_socket_open_noblock(new_socket(c->state, manner), to.host, to.port, &timeout);
    if (status != AMQP_STATUS_OK) {
        snprintf(last_refusal, sizeof last_refusal, "%s", amqp_error_string2(status));
        return NULL;
    }
    /* Of itself librabbitmq does not say that it can be told of cancelled consumers. */
    amqp_field_value_t yes = {.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1};
    amqp_table_entry_t can[] = {{amqp_cstring_bytes("consumer_cancel_notify"), yes}};
    amqp_field_value_t all = {.kind = AMQP_FIELD_KIND_TABLE, .value.table = {1, can}};
    amqp_table_entry_t capabilities[] = {{amqp_cstring_bytes("capabilities"), all}};
    amqp_table_t properties = {1, capabilities};
    int heartbeat = manner.heartbeat ? manner.heartbeat : 60;
    if (!explained(amqp_login_with_properties(c->state, to.vhost, 0, 131072, heartbeat, &properties,
                                              AMQP_SASL_METHOD_PLAIN, to.user, to.password))) {
        return NULL;
    }
    amqp_set_rpc_timeout(c->state, &timeout);
    open_channel(c, 1);
    return c;
}

struct connection *connect_to(const char *url, struct manner manner) {
    struct connection *c = try_connect(url, manner);
    if (!c) fail("not connected: %s", last_refusal);
    return c;
}

void open_channel(struct connection *c, amqp_channel_t channel) {
    amqp_channel_open(c->state, channel);
    MUST(c);
    amqp_confirm_select(c->state, channel);
    MUST(c);
}

void declare(struct connection *c, const char *queue, amqp_table_t arguments) {
    amqp_queue_declare(c->state, 1, amqp_cstring_bytes(queue), 0, 0, 1, 0, arguments);
    MUST(c);
}

unsigned ready(struct connection *c, amqp_channel_t channel, const char *queue) {
    amqp_queue_declare_ok_t *ok =
        amqp_queue_declare(c->state, channel, amqp_cstring_bytes(queue), 1, 0, 0, 0, amqp_empty_table);
    MUST(c);
    return ok->message_count;
}

static void copy(char *to, size_t room, amqp_bytes_t from) {
    snprintf(to, room, "%.*s", (int)from.len, (char *)from.bytes);
}

/* Reads the header and the body that follow. */
static struct delivery *read_delivery(struct connection *c, amqp_channel_t channel) {
    struct delivery *d = calloc(1, sizeof *d);
    if (!explained(amqp_read_message(c->state, channel, &d->message, 0))) fail("reading a body: %s", last_refusal);
    return d;
}

static void hear_method(struct connection *c, amqp_channel_t channel, amqp_method_t method) {
    switch (method.id) {
    case AMQP_BASIC_ACK_METHOD:
        c->acked = ((amqp_basic_ack_t *)method.decoded)->delivery_tag;
        break;
    case AMQP_BASIC_NACK_METHOD:
        c->nacked = ((amqp_basic_nack_t *)method.decoded)->delivery_tag;
        break;
    case AMQP_BASIC_RETURN_METHOD: {
        amqp_basic_return_t *back = method.decoded;
        snprintf(c->returned, sizeof c->returned, "returned %d %.*s", back->reply_code, (int)back->reply_text.len,
                 (char *)back->reply_text.bytes);
        amqp_destroy_message(&read_delivery(c, channel)->message);
        break;
    }
    case AMQP_BASIC_DELIVER_METHOD: {
        amqp_basic_deliver_t *deliver = method.decoded;
        struct delivery head = {.tag = deliver->delivery_tag, .redelivered = deliver->redelivered};
        copy(head.exchange, sizeof head.exchange, deliver->exchange);
        copy(head.routing_key, sizeof head.routing_key, deliver->routing_key);
        struct delivery *d = read_delivery(c, channel);
        head.message = d->message;
        *d = head;
        *c->last = d;
        c->last = &d->next;
        break;
    }
    case AMQP_BASIC_CANCEL_METHOD:
        copy(c->cancelled, sizeof c->cancelled, ((amqp_basic_cancel_t *)method.decoded)->consumer_tag);
        break;
    case AMQP_CONNECTION_CLOSE_METHOD: {
        amqp_connection_close_t *close = method.decoded;
        snprintf(c->closed, sizeof c->closed, "%d %.*s", close->reply_code, (int)close->reply_text.len,
                 (char *)close->reply_text.bytes);
        break;
    }
    default:
        fail("heard %s", amqp_method_name(method.id));
    }
}

bool hear(struct connection *c, double seconds) {
    amqp_frame_t frame;
    struct timeval timeout = {.tv_sec = (long)seconds, .tv_usec = (long)((seconds - (long)seconds) * 1e6)};
    amqp_maybe_release_buffers(c->state);
    int status = amqp_simple_wait_frame_noblock(c->state, &frame, &timeout);
    if (status == AMQP_STATUS_TIMEOUT) return false;
    if (status != AMQP_STATUS_OK) fail("listening: %s", amqp_error_string2(status));
    if (frame.frame_type == AMQP_FRAME_METHOD) hear_method(c, frame.channel, frame.payload.method);
    return true;
}

const char *publish_on(struct connection *c, amqp_channel_t channel, const char *exchange, const char *key,
                       bool mandatory, const amqp_basic_properties_t *properties, amqp_bytes_t body) {
    c->acked = c->nacked = 0;
    c->returned[0] = 0;
    int status = amqp_basic_publish(c->state, channel, amqp_cstring_bytes(exchange), amqp_cstring_bytes(key), mandatory,
                                    0, properties, body);
    if (status != AMQP_STATUS_OK) fail("publishing: %s", amqp_error_string2(status));
    while (!c->acked && !c->nacked) {
        if (!hear(c, WAIT_SECONDS)) fail("a confirm did not come");
    }
    return c->returned[0] ? c->returned : c->acked ? "ack" : "nack";
}

const char *publish(struct connection *c, const char *exchange, const char *key, bool mandatory,
                    const amqp_basic_properties_t *properties, amqp_bytes_t body) {
    return publish_on(c, 1, exchange, key, mandatory, properties, body);
}

void send_to(struct connection *c, const char *queue, const char *body) {
    CHECK(strcmp(publish(c, "", queue, false, &TRANSIENT, amqp_cstring_bytes(body)), "ack") == 0);
}

struct delivery *get(struct connection *c, const char *queue, bool no_ack) {
    amqp_maybe_release_buffers(c->state);
    amqp_rpc_reply_t reply = amqp_basic_get(c->state, 1, amqp_cstring_bytes(queue), no_ack);
    if (!explained(reply)) fail("getting: %s", last_refusal);
    if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) return NULL;
    amqp_basic_get_ok_t *ok = reply.reply.decoded;
    struct delivery head = {.tag = ok->delivery_tag, .redelivered = ok->redelivered};
    copy(head.exchange, sizeof head.exchange, ok->exchange);
    copy(head.routing_key, sizeof head.routing_key, ok->routing_key);
    struct delivery *d = read_delivery(c, 1);
    head.message = d->message;
    *d = head;
    return d;
}

void consume(struct connection *c, const char *queue) {
    amqp_basic_consume(c->state, 1, amqp_cstring_bytes(queue), amqp_cstring_bytes("the consumer"), 0, 0, 0,
                       amqp_empty_table);
    MUST(c);
}

struct delivery *next(struct connection *c) {
    while (!c->first) {
        if (!hear(c, WAIT_SECONDS)) fail("a delivery did not come");
    }
    struct delivery *d = c->first;
    c->first = d->next;
    if (!c->first) c->last = &c->first;
    return d;
}

bool has_body(const struct delivery *d, const char *body) {
    amqp_bytes_t is = d->message.body;
    return is.len == strlen(body) && memcmp(is.bytes, body, is.len) == 0;
}

void ask(const char *what) {
    char answer[256] = "";
    if (!getenv("FLEET_ASKS")) skip("nobody here who can restart the broker or freeze a client");
    say("ask", what, NULL, NULL, NULL, NULL);
    if (!fgets(answer, sizeof answer, stdin) || strcmp(answer, "done\n") != 0) fail("answered %s", answer);
}
