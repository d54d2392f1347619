/* What librabbitmq does: a function for each feature of ../features.py. */

#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static amqp_bytes_t bytes(const char *text) {
    return amqp_cstring_bytes(text);
}

static amqp_field_value_t text_value(const char *text) {
    return (amqp_field_value_t){.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = bytes(text)};
}

static amqp_field_value_t int_value(int value) {
    return (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I32, .value.i32 = value};
}

static amqp_table_entry_t entry(const char *key, amqp_field_value_t value) {
    return (amqp_table_entry_t){.key = bytes(key), .value = value};
}

#define TABLE(of) ((amqp_table_t){.num_entries = COUNT(of), .entries = (of)})

static const amqp_field_value_t *find(const amqp_table_t *table, const char *key) {
    for (int i = 0; i < table->num_entries; i++) {
        amqp_bytes_t is = table->entries[i].key;
        if (is.len == strlen(key) && memcmp(is.bytes, key, is.len) == 0) return &table->entries[i].value;
    }
    return NULL;
}

static bool same_bytes(amqp_bytes_t a, amqp_bytes_t b) {
    return a.len == b.len && memcmp(a.bytes, b.bytes, a.len) == 0;
}

static bool same(const amqp_field_value_t *a, const amqp_field_value_t *b) {
    if (!a || !b || a->kind != b->kind) return false;
    switch (a->kind) {
    case AMQP_FIELD_KIND_BOOLEAN: return a->value.boolean == b->value.boolean;
    case AMQP_FIELD_KIND_I8: return a->value.i8 == b->value.i8;
    case AMQP_FIELD_KIND_U8: return a->value.u8 == b->value.u8;
    case AMQP_FIELD_KIND_I16: return a->value.i16 == b->value.i16;
    case AMQP_FIELD_KIND_U16: return a->value.u16 == b->value.u16;
    case AMQP_FIELD_KIND_I32: return a->value.i32 == b->value.i32;
    case AMQP_FIELD_KIND_U32: return a->value.u32 == b->value.u32;
    case AMQP_FIELD_KIND_I64: return a->value.i64 == b->value.i64;
    case AMQP_FIELD_KIND_TIMESTAMP: return a->value.u64 == b->value.u64;
    case AMQP_FIELD_KIND_F32: return a->value.f32 == b->value.f32;
    case AMQP_FIELD_KIND_F64: return a->value.f64 == b->value.f64;
    case AMQP_FIELD_KIND_DECIMAL:
        return a->value.decimal.decimals == b->value.decimal.decimals && a->value.decimal.value == b->value.decimal.value;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES: return same_bytes(a->value.bytes, b->value.bytes);
    case AMQP_FIELD_KIND_VOID: return true;
    case AMQP_FIELD_KIND_ARRAY:
        if (a->value.array.num_entries != b->value.array.num_entries) return false;
        for (int i = 0; i < a->value.array.num_entries; i++) {
            if (!same(&a->value.array.entries[i], &b->value.array.entries[i])) return false;
        }
        return true;
    case AMQP_FIELD_KIND_TABLE:
        if (a->value.table.num_entries != b->value.table.num_entries) return false;
        for (int i = 0; i < a->value.table.num_entries; i++) {
            amqp_bytes_t key = a->value.table.entries[i].key;
            const char *name = made("%.*s", (int)key.len, (char *)key.bytes);
            if (!same(&a->value.table.entries[i].value, find(&b->value.table, name))) return false;
        }
        return true;
    default: return false;
    }
}

static bool is_text(const amqp_field_value_t *value, const char *text) {
    amqp_field_value_t expected = text_value(text);
    return same(&expected, value);
}

static struct connection *usual(void) {
    return connect_to(variable("AMQP_URL"), (struct manner){0});
}

static void round_trip(struct connection *c) {
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    send_to(c, queue, "hello");
    struct delivery *d = get(c, queue, true);
    CHECK(d && has_body(d, "hello"));
}

static void refused(const char *expected) {
    if (strcmp(last_refusal, expected) != 0) fail("expected %s, got %s", expected, last_refusal);
}

static const char *connecting(void) {
    const char *url = variable("AMQP_URL");
    round_trip(usual());
    CHECK(!try_connect(replaced(url, ":guest@", ":wrong@"), (struct manner){0}));
    CHECK(strstr(last_refusal, "403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."));
    CHECK(!try_connect(replaced(url, "%2F", "no%20such"), (struct manner){0}));
    refused("530 NOT_ALLOWED - vhost no such not found");
    return NULL;
}

static const char *tls(void) {
    const char *url = variable("AMQPS_URL");
    round_trip(connect_to(url, (struct manner){.ca = "ca.pem"}));
    CHECK(!try_connect(url, (struct manner){.ca = "stranger.pem"}));
    return NULL;
}

static const char *mutual_tls(void) {
    const char *url = variable("AMQPS_REQUIRED_URL");
    round_trip(connect_to(url, (struct manner){.ca = "ca.pem", .certificate = true}));
    CHECK(!try_connect(url, (struct manner){.ca = "ca.pem"}));
    return NULL;
}

static const char *topology(void) {
    struct connection *c = usual();
    const char *queue = name("queue"), *source = name("source");
    amqp_table_entry_t limit[] = {entry("x-max-length", int_value(10))};
    declare(c, queue, TABLE(limit));
    amqp_exchange_declare(c->state, 1, bytes(source), bytes("fanout"), 0, 0, 0, 0, amqp_empty_table);
    MUST(c);
    amqp_table_entry_t wanted[] = {entry("n", int_value(1)), entry("s", text_value("x"))};
    amqp_table_entry_t matching[] = {wanted[0], wanted[1], entry("x-match", text_value("all"))};
    struct {
        const char *kind, *binding_key, *key;
        amqp_table_t arguments;
    } kinds[] = {
        {"direct", "a.b", "a.b", amqp_empty_table},
        {"fanout", "", "whatever", amqp_empty_table},
        {"topic", "a.*.#", "a.b.c.d", amqp_empty_table},
        {"headers", "", "", TABLE(matching)},
    };
    for (int i = 0; i < COUNT(kinds); i++) {
        const char *exchange = name(kinds[i].kind);
        amqp_exchange_declare(c->state, 1, bytes(exchange), bytes(kinds[i].kind), 0, 0, 1, 0, amqp_empty_table);
        MUST(c);
        amqp_queue_bind(c->state, 1, bytes(queue), bytes(exchange), bytes(kinds[i].binding_key), kinds[i].arguments);
        MUST(c);
        amqp_exchange_bind(c->state, 1, bytes(exchange), bytes(source), bytes(""), amqp_empty_table);
        MUST(c);
        const char *to[] = {exchange, source};
        for (int j = 0; j < 2; j++) {
            amqp_basic_properties_t properties = TRANSIENT;
            properties._flags |= AMQP_BASIC_HEADERS_FLAG;
            properties.headers = TABLE(wanted);
            CHECK(strcmp(publish(c, to[j], kinds[i].key, true, &properties, bytes(kinds[i].kind)), "ack") == 0);
            struct delivery *d = get(c, queue, true);
            CHECK(d && has_body(d, kinds[i].kind));
        }
        amqp_queue_unbind(c->state, 1, bytes(queue), bytes(exchange), bytes(kinds[i].binding_key), kinds[i].arguments);
        MUST(c);
        CHECK(!get(c, queue, true));
    }
    amqp_exchange_delete(c->state, 1, bytes(source), 0);
    MUST(c);
    send_to(c, queue, "left");
    CHECK(ready(c, 1, queue) == 1);
    CHECK(amqp_queue_purge(c->state, 1, bytes(queue))->message_count == 1);
    open_channel(c, 2);
    amqp_table_entry_t unequal[] = {entry("x-max-length", int_value(11))};
    amqp_queue_declare(c->state, 2, bytes(queue), 0, 0, 1, 0, TABLE(unequal));
    CHECK(!went_well(c));
    refused(made("406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '%s' in vhost '/': "
                 "received '11' but current is '10'", queue));
    amqp_queue_delete(c->state, 1, bytes(queue), 0, 0);
    MUST(c);
    open_channel(c, 3);
    amqp_queue_declare(c->state, 3, bytes(queue), 1, 0, 0, 0, amqp_empty_table);
    CHECK(!went_well(c));
    refused(made("404 NOT_FOUND - no queue '%s' in vhost '/'", queue));
    amqp_queue_declare_ok_t *ok = amqp_queue_declare(c->state, 1, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    MUST(c);
    CHECK(strncmp(ok->queue.bytes, "amq.gen-", 8) == 0);
    return NULL;
}

static const char *confirms(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    for (int i = 0; i < 200; i++) {
        CHECK(amqp_basic_publish(c->state, 1, bytes(""), bytes(queue), 0, 0, &TRANSIENT, bytes("x")) == AMQP_STATUS_OK);
    }
    for (uint64_t confirmed = 0; confirmed < 200; confirmed = c->acked) {
        CHECK(hear(c, WAIT_SECONDS));
        CHECK(c->acked > confirmed && !c->nacked);
    }
    CHECK(ready(c, 1, queue) == 200);
    return NULL;
}

static const char *confirm_nack(void) {
    struct connection *c = usual();
    const char *queue = name("queue"), *expected[] = {"ack", "ack", "nack", "nack"};
    amqp_table_entry_t full[] = {entry("x-max-length", int_value(2)), entry("x-overflow", text_value("reject-publish"))};
    declare(c, queue, TABLE(full));
    for (int i = 0; i < COUNT(expected); i++) {
        CHECK(strcmp(publish(c, "", queue, false, &TRANSIENT, bytes("x")), expected[i]) == 0);
    }
    get(c, queue, true);
    send_to(c, queue, "x");
    return NULL;
}

static const char *returns(void) {
    struct connection *c = usual();
    const char *nowhere = name("nowhere");
    CHECK(strcmp(publish(c, "", nowhere, true, &TRANSIENT, bytes("x")), "returned 312 NO_ROUTE") == 0);
    send_to(c, nowhere, "x");
    return NULL;
}

static const char *consuming(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    for (int i = 0; i < 20; i++) {
        if (i == 10) consume(c, queue);
        send_to(c, queue, made("%d", i));
    }
    for (int i = 0; i < 20; i++) {
        struct delivery *d = next(c);
        CHECK(has_body(d, made("%d", i)) && !d->redelivered && strcmp(d->routing_key, queue) == 0);
        CHECK(amqp_basic_ack(c->state, 1, d->tag, 0) == AMQP_STATUS_OK);
    }
    amqp_channel_close(c->state, 1, AMQP_REPLY_SUCCESS);
    open_channel(c, 2);
    CHECK(ready(c, 2, queue) == 0);
    return NULL;
}

static const char *requeue(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    send_to(c, queue, "x");
    consume(c, queue);
    amqp_basic_nack(c->state, 1, next(c)->tag, 0, 1);
    struct delivery *again = next(c);
    CHECK(again->redelivered);
    amqp_basic_reject(c->state, 1, again->tag, 1);
    amqp_basic_nack(c->state, 1, next(c)->tag, 0, 0);
    send_to(c, queue, "y");
    struct delivery *last = next(c);
    CHECK(has_body(last, "y") && !last->redelivered);
    amqp_basic_reject(c->state, 1, last->tag, 0);
    amqp_channel_close(c->state, 1, AMQP_REPLY_SUCCESS);
    open_channel(c, 2);
    CHECK(ready(c, 2, queue) == 0);
    return NULL;
}

static const char *prefetch(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    open_channel(c, 2);
    for (int i = 0; i < 10; i++) send_to(c, queue, made("%d", i));
    amqp_basic_qos(c->state, 1, 0, 3, 0);
    MUST(c);
    consume(c, queue);
    struct delivery *first = next(c);
    CHECK(has_body(next(c), "1") && has_body(next(c), "2"));
    CHECK(ready(c, 2, queue) == 7);
    amqp_basic_ack(c->state, 1, first->tag, 0);
    CHECK(has_body(next(c), "3"));
    CHECK(ready(c, 2, queue) == 6);
    return NULL;
}

static const char *dead_letter(void) {
    struct connection *c = usual();
    const char *queue = name("queue"), *dead = name("dead"), *reasons[] = {"rejected", "expired"};
    amqp_table_entry_t to[] = {
        entry("x-dead-letter-exchange", text_value("")), entry("x-dead-letter-routing-key", text_value(dead))};
    declare(c, queue, TABLE(to));
    declare(c, dead, amqp_empty_table);
    consume(c, dead);
    send_to(c, queue, "rejected");
    struct delivery *got = get(c, queue, false);
    CHECK(got);
    amqp_basic_reject(c->state, 1, got->tag, 0);
    amqp_basic_properties_t expiring = TRANSIENT;
    expiring._flags |= AMQP_BASIC_EXPIRATION_FLAG;
    expiring.expiration = bytes("1");
    CHECK(strcmp(publish(c, "", queue, false, &expiring, bytes("expired")), "ack") == 0);
    for (int i = 0; i < COUNT(reasons); i++) {
        struct delivery *d = next(c);
        CHECK(has_body(d, reasons[i]));
        amqp_table_t *headers = &d->message.properties.headers;
        const amqp_field_value_t *deaths = find(headers, "x-death");
        CHECK(deaths && deaths->kind == AMQP_FIELD_KIND_ARRAY && deaths->value.array.num_entries == 1);
        amqp_table_t *death = &deaths->value.array.entries[0].value.table;
        const amqp_field_value_t *count = find(death, "count"), *keys = find(death, "routing-keys");
        CHECK(count && count->kind == AMQP_FIELD_KIND_I64 && count->value.i64 == 1);
        CHECK(is_text(find(death, "reason"), reasons[i]) && is_text(find(death, "queue"), queue));
        CHECK(is_text(find(death, "exchange"), "") && find(death, "time")->kind == AMQP_FIELD_KIND_TIMESTAMP);
        CHECK(keys && keys->value.array.num_entries == 1 && is_text(keys->value.array.entries, queue));
        CHECK(i == 0 ? !find(death, "original-expiration") : is_text(find(death, "original-expiration"), "1"));
        CHECK(is_text(find(headers, "x-first-death-reason"), reasons[i]));
        CHECK(is_text(find(headers, "x-first-death-queue"), queue));
        CHECK(is_text(find(headers, "x-first-death-exchange"), ""));
    }
    return NULL;
}

static const char *cancel(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    consume(c, queue);
    open_channel(c, 2);
    amqp_queue_delete(c->state, 2, bytes(queue), 0, 0);
    MUST(c);
    while (!c->cancelled[0]) CHECK(hear(c, WAIT_SECONDS));
    CHECK(strcmp(c->cancelled, "the consumer") == 0);
    return NULL;
}

static void bodies(int count, const size_t *sizes) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    consume(c, queue);
    for (int i = 0; i < count; i++) {
        amqp_bytes_t body = amqp_bytes_malloc(sizes[i]);
        for (size_t at = 0; at < body.len; at++) ((unsigned char *)body.bytes)[at] = at * 7 % 251;
        CHECK(strcmp(publish(c, "", queue, false, &TRANSIENT, body), "ack") == 0);
        struct delivery *d = next(c);
        CHECK(same_bytes(body, d->message.body));
        amqp_basic_ack(c->state, 1, d->tag, 0);
        amqp_destroy_message(&d->message);
        amqp_bytes_free(body);
    }
}

static const char *small_bodies(void) {
    const size_t sizes[] = {0, 1, 4088, 4089, 8184, 8185, 131064, 131065};
    bodies(COUNT(sizes), sizes);
    return NULL;
}

static const char *large_body(void) {
    const size_t size = 64u << 20;
    bodies(1, &size);
    return NULL;
}

static const char *headers(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    char long_text[10001];
    memset(long_text, 'x', 10000);
    long_text[10000] = 0;
    amqp_table_entry_t four[] = {entry("four", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_BOOLEAN, .value.boolean = 1})};
    amqp_table_entry_t inner[] = {entry("b", int_value(1))};
    amqp_field_value_t items[] = {
        int_value(1), text_value("two"), {.kind = AMQP_FIELD_KIND_VOID},
        {.kind = AMQP_FIELD_KIND_TABLE, .value.table = TABLE(four)}};
    amqp_table_entry_t sent[] = {
        entry("t", four[0].value),
        entry("b", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I8, .value.i8 = -100}),
        entry("B", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_U8, .value.u8 = 200}),
        entry("s", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I16, .value.i16 = -30000}),
        entry("u", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_U16, .value.u16 = 60000}),
        entry("I", int_value(-2000000000)),
        entry("i", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_U32, .value.u32 = 4000000000u}),
        entry("l", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_I64, .value.i64 = -(1LL << 62)}),
        entry("f", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_F32, .value.f32 = 0.1f}),
        entry("d", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_F64, .value.f64 = 0.1}),
        entry("D", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_DECIMAL, .value.decimal = {2, 314}}),
        entry("S", text_value(long_text)),
        entry("x", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_BYTES, .value.bytes = {3, "\0\377\376"}}),
        entry("T", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TIMESTAMP, .value.u64 = 1767323045}),
        entry("V", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_VOID}),
        entry("A", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_ARRAY, .value.array = {COUNT(items), items}}),
        entry("F", (amqp_field_value_t){.kind = AMQP_FIELD_KIND_TABLE, .value.table = TABLE(inner)}),
    };
    amqp_basic_properties_t properties = {
        ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG |
                  AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                  AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_USER_ID_FLAG | AMQP_BASIC_APP_ID_FLAG,
        .content_type = bytes("text/plain"), .content_encoding = bytes("utf-8"), .headers = TABLE(sent),
        .delivery_mode = 1, .priority = 3, .correlation_id = bytes("c"), .reply_to = bytes("r"),
        .expiration = bytes("60000"), .message_id = bytes("m"), .timestamp = 1767323045, .type = bytes("t"),
        .user_id = bytes("guest"), .app_id = bytes("a"),
    };
    CHECK(strcmp(publish(c, "", queue, false, &properties, amqp_empty_bytes), "ack") == 0);
    struct delivery *d = get(c, queue, true);
    CHECK(d);
    amqp_basic_properties_t *got = &d->message.properties;
    for (int i = 0; i < COUNT(sent); i++) {
        const char *key = made("%.*s", (int)sent[i].key.len, (char *)sent[i].key.bytes);
        if (!same(&sent[i].value, find(&got->headers, key))) fail("%s came otherwise", key);
    }
    CHECK(got->_flags == properties._flags && got->headers.num_entries == COUNT(sent));
    CHECK(got->delivery_mode == 1 && got->priority == 3 && got->timestamp == 1767323045);
    CHECK(same_bytes(got->content_type, properties.content_type));
    CHECK(same_bytes(got->content_encoding, properties.content_encoding));
    CHECK(same_bytes(got->correlation_id, properties.correlation_id) && same_bytes(got->reply_to, properties.reply_to));
    CHECK(same_bytes(got->expiration, properties.expiration) && same_bytes(got->message_id, properties.message_id));
    CHECK(same_bytes(got->type, properties.type) && same_bytes(got->user_id, properties.user_id));
    CHECK(same_bytes(got->app_id, properties.app_id));
    return NULL;
}

static const char *unicode(void) {
    struct connection *c = usual();
    const char *both = name("Grüße-κόσμε-世界-🐇"), *key = "schlüssel.世界";
    amqp_exchange_declare(c->state, 1, bytes(both), bytes("direct"), 0, 0, 1, 0, amqp_empty_table);
    MUST(c);
    declare(c, both, amqp_empty_table);
    amqp_queue_bind(c->state, 1, bytes(both), bytes(both), bytes(key), amqp_empty_table);
    MUST(c);
    amqp_table_entry_t sent[] = {entry("ключ", text_value("значение 🐇"))};
    amqp_basic_properties_t properties = TRANSIENT;
    properties._flags |= AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG;
    properties.headers = TABLE(sent);
    properties.message_id = bytes("ñ");
    CHECK(strcmp(publish(c, both, key, true, &properties, bytes("тело")), "ack") == 0);
    struct delivery *d = get(c, both, true);
    CHECK(d && has_body(d, "тело") && strcmp(d->exchange, both) == 0 && strcmp(d->routing_key, key) == 0);
    CHECK(is_text(find(&d->message.properties.headers, "ключ"), "значение 🐇"));
    CHECK(same_bytes(d->message.properties.message_id, bytes("ñ")));
    return NULL;
}

static const char *channels(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    declare(c, queue, amqp_empty_table);
    for (int channel = 2; channel <= 1000; channel++) open_channel(c, channel);
    for (int channel = 1; channel <= 1000; channel++) {
        CHECK(strcmp(publish_on(c, channel, "", queue, false, &TRANSIENT, bytes("x")), "ack") == 0);
    }
    CHECK(ready(c, 1, queue) == 1000);
    for (int channel = 2; channel <= 1000; channel++) {
        CHECK(amqp_channel_close(c->state, channel, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL);
    }
    CHECK(get(c, queue, true));
    return NULL;
}

/* Nobody beats for librabbitmq but itself while it waits for a frame. */
static const char *heartbeat(void) {
    struct connection *c = connect_to(variable("AMQP_URL"), (struct manner){.heartbeat = 2});
    for (time_t start = time(NULL); time(NULL) < start + 7;) hear(c, 0.3);
    round_trip(c);
    return NULL;
}

static const char *frozen(void) {
    struct connection *c = usual();
    const char *queue = name("queue");
    amqp_queue_declare(c->state, 1, bytes(queue), 0, 0, 0, 0, amqp_empty_table);
    MUST(c);
    send_to(c, queue, "held");
    ask(made("freeze %s", queue));
    consume(c, queue);
    struct delivery *d = next(c);
    CHECK(has_body(d, "held") && d->redelivered);
    amqp_basic_ack(c->state, 1, d->tag, 0);
    amqp_queue_delete(c->state, 1, bytes(queue), 0, 0);
    MUST(c);
    return NULL;
}

static const char *after_a_restart(const char *how) {
    struct connection *c = usual();
    const char *kept = name("kept");
    amqp_queue_declare(c->state, 1, bytes(kept), 0, 1, 0, 0, amqp_empty_table);
    MUST(c);
    amqp_basic_properties_t persistent = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
    for (int i = 0; i < 10; i++) {
        CHECK(strcmp(publish(c, "", kept, false, &persistent, bytes(made("%d", i))), "ack") == 0);
    }
    ask(how);
    if (strcmp(how, "stop") == 0) {
        CHECK(hear(c, WAIT_SECONDS));
        if (strncmp(c->closed, "320 CONNECTION_FORCED", 21) != 0) fail("heard %s", c->closed);
    }
    amqp_queue_declare(c->state, 1, bytes(kept), 1, 0, 0, 0, amqp_empty_table);
    CHECK(!went_well(c));
    c = usual();
    for (int i = 0; i < 10; i++) {
        struct delivery *d = get(c, kept, true);
        CHECK(d && has_body(d, made("%d", i)));
    }
    CHECK(!get(c, kept, true));
    amqp_queue_delete(c->state, 1, bytes(kept), 0, 0);
    MUST(c);
    return "connecting anew";
}

static const char *killed(void) {
    return after_a_restart("kill");
}

static const char *closed(void) {
    return after_a_restart("stop");
}

const char *run(const char *feature) {
    static const struct {
        const char *feature;
        const char *(*run)(void);
    } scenarios[] = {
        {"connect", connecting}, {"tls", tls}, {"mutual-tls", mutual_tls}, {"topology", topology},
        {"confirms", confirms}, {"confirm-nack", confirm_nack}, {"returns", returns}, {"consume", consuming},
        {"requeue", requeue}, {"prefetch", prefetch}, {"dead-letter", dead_letter}, {"cancel", cancel},
        {"bodies", small_bodies}, {"body-64-mib", large_body}, {"headers", headers}, {"unicode", unicode},
        {"channels", channels}, {"heartbeat", heartbeat}, {"frozen", frozen}, {"killed", killed}, {"closed", closed},
    };
    for (int i = 0; i < COUNT(scenarios); i++) {
        if (strcmp(scenarios[i].feature, feature) == 0) return scenarios[i].run();
    }
    fail("no such feature");
}
