import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.LongString;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.ShutdownSignalException;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** What RabbitMQ's Java client does: a function for each feature of ../features.py. */
final class Scenarios {
    /** One feature; gives a remark on what the client left out, or nothing. */
    interface Scenario {
        String run(Place place) throws Exception;
    }

    private interface Action {
        void run() throws Exception;
    }

    static Map<String, Scenario> all() {
        Map<String, Scenario> all = new LinkedHashMap<>();
        all.put("connect", Scenarios::connect);
        all.put("tls", Scenarios::tls);
        all.put("mutual-tls", Scenarios::mutualTls);
        all.put("topology", Scenarios::topology);
        all.put("confirms", Scenarios::confirms);
        all.put("confirm-nack", Scenarios::confirmNack);
        all.put("returns", Scenarios::returns);
        all.put("consume", Scenarios::consume);
        all.put("requeue", Scenarios::requeue);
        all.put("prefetch", Scenarios::prefetch);
        all.put("dead-letter", Scenarios::deadLetter);
        all.put("cancel", Scenarios::cancel);
        all.put("bodies", place -> bodies(place, 0, 1, 4088, 4089, 8184, 8185, 131_064, 131_065));
        all.put("body-64-mib", place -> bodies(place, 64 << 20));
        all.put("headers", Scenarios::headers);
        all.put("unicode", Scenarios::unicode);
        all.put("channels", Scenarios::channels);
        all.put("heartbeat", Scenarios::heartbeat);
        all.put("frozen", Scenarios::frozen);
        all.put("killed", place -> afterARestart(place, "kill"));
        all.put("closed", place -> afterARestart(place, "stop"));
        return all;
    }

    private static void same(Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError("expected " + expected + ", got " + actual);
        }
    }

    private static void refused(int code, String text, Action action) throws Exception {
        try {
            action.run();
        } catch (AuthenticationFailureException error) {
            same(code, AMQP.ACCESS_REFUSED);
            same(true, error.getMessage().contains(text));
            return;
        } catch (Exception error) {
            Throwable cause = error instanceof ShutdownSignalException ? error : error.getCause();
            Method reason = cause instanceof ShutdownSignalException ? ((ShutdownSignalException) cause).getReason() : null;
            if (reason instanceof AMQP.Channel.Close) {
                AMQP.Channel.Close close = (AMQP.Channel.Close) reason;
                same(code + " " + text, close.getReplyCode() + " " + close.getReplyText());
            } else if (reason instanceof AMQP.Connection.Close) {
                AMQP.Connection.Close close = (AMQP.Connection.Close) reason;
                same(code + " " + text, close.getReplyCode() + " " + close.getReplyText());
            } else {
                throw error;
            }
            return;
        }
        throw new AssertionError("not refused with " + code + " " + text);
    }

    private static void notConnected(Action action) {
        try {
            action.run();
        } catch (Place.Skipped why) {
            throw why;
        } catch (Exception expected) {
            return;
        }
        throw new AssertionError("connected");
    }

    private static void roundTrip(Place place, Connection connection) throws Exception {
        Hearing channel = new Hearing(connection);
        String queue = place.name("queue");
        channel.declare(queue, null);
        same("ack", channel.publish(queue, "hello"));
        same("hello", channel.get(queue, true).text());
    }

    private static String connect(Place place) throws Exception {
        roundTrip(place, place.connect());
        refused(403, "ACCESS_REFUSED - Login was refused", () -> place.connect(factory -> factory.setPassword("wrong")));
        String noSuch = place.url.replace("%2F", "no%20such");
        refused(530, "NOT_ALLOWED - vhost no such not found", () -> place.connect(factory -> factory.setUri(noSuch)));
        return "";
    }

    private static String tls(Place place) throws Exception {
        roundTrip(place, place.connectTls("AMQPS_URL", "ca.pem", false));
        notConnected(() -> place.connectTls("AMQPS_URL", "stranger.pem", false));
        return "";
    }

    private static String mutualTls(Place place) throws Exception {
        roundTrip(place, place.connectTls("AMQPS_REQUIRED_URL", "ca.pem", true));
        notConnected(() -> place.connectTls("AMQPS_REQUIRED_URL", "ca.pem", false));
        return "";
    }

    private static String topology(Place place) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        String queue = place.name("queue");
        String source = place.name("source");
        channel.declare(queue, Map.of("x-max-length", 10));
        channel.channel.exchangeDeclare(source, "fanout");
        Map<String, Object> wanted = Map.of("n", 1, "s", "x");
        String[][] kinds = {
            {"direct", "a.b", "a.b"}, {"fanout", "", "whatever"}, {"topic", "a.*.#", "a.b.c.d"}, {"headers", "", ""},
        };
        for (String[] each : kinds) {
            String kind = each[0];
            String exchange = place.name(kind);
            Map<String, Object> arguments = new HashMap<>();
            if (kind.equals("headers")) {
                arguments.putAll(wanted);
                arguments.put("x-match", "all");
            }
            channel.channel.exchangeDeclare(exchange, kind, false, true, null);
            channel.channel.queueBind(queue, exchange, each[1], arguments);
            channel.channel.exchangeBind(exchange, source, "");
            for (String to : List.of(exchange, source)) {
                AMQP.BasicProperties properties = Hearing.TRANSIENT.builder().headers(wanted).build();
                same("ack", channel.publish(to, each[2], true, properties, kind.getBytes()));
                same(kind, channel.get(queue, true).text());
            }
            channel.channel.queueUnbind(queue, exchange, each[1], arguments);
            same(null, channel.get(queue, true));
        }
        channel.channel.exchangeDelete(source);
        same("ack", channel.publish(queue, "left"));
        same(1L, channel.ready(queue));
        same(1, channel.channel.queuePurge(queue).getMessageCount());
        String unequal = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '" + queue
                + "' in vhost '/': received '11' but current is '10'";
        refused(406, unequal, () -> new Hearing(connection).declare(queue, Map.of("x-max-length", 11)));
        channel.channel.queueDelete(queue);
        refused(404, "NOT_FOUND - no queue '" + queue + "' in vhost '/'", () -> new Hearing(connection).ready(queue));
        same(true, channel.channel.queueDeclare().getQueue().startsWith("amq.gen-"));
        return "";
    }

    private static String confirms(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        channel.declare(queue, null);
        List<Long> confirmed = java.util.Collections.synchronizedList(new ArrayList<>());
        channel.channel.addConfirmListener(
                (tag, multiple) -> {
                    long from = confirmed.isEmpty() ? 1 : confirmed.get(confirmed.size() - 1) + 1;
                    for (long each = multiple ? from : tag; each <= tag; each++) {
                        confirmed.add(each);
                    }
                },
                (tag, multiple) -> confirmed.add(-tag));
        List<Long> expected = new ArrayList<>();
        for (long i = 1; i <= 200; i++) {
            channel.channel.basicPublish("", queue, Hearing.TRANSIENT, Long.toString(i).getBytes());
            expected.add(i);
        }
        same(true, channel.channel.waitForConfirms(Place.WAIT_MILLISECONDS));
        same(expected, confirmed);
        same(200L, channel.ready(queue));
        return "";
    }

    private static String confirmNack(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        channel.declare(queue, Map.of("x-max-length", 2, "x-overflow", "reject-publish"));
        for (String expected : List.of("ack", "ack", "nack", "nack")) {
            same(expected, channel.publish(queue, "x"));
        }
        channel.get(queue, true);
        same("ack", channel.publish(queue, "x"));
        return "";
    }

    private static String returns(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String nowhere = place.name("nowhere");
        same("returned 312 NO_ROUTE", channel.publish("", nowhere, true, Hearing.TRANSIENT, new byte[1]));
        same("ack", channel.publish(nowhere, "x"));
        return "";
    }

    private static String consume(Place place) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        String queue = place.name("queue");
        channel.declare(queue, null);
        for (int i = 0; i < 20; i++) {
            if (i == 10) {
                channel.consume(queue);
            }
            same("ack", channel.publish(queue, Integer.toString(i)));
        }
        for (int i = 0; i < 20; i++) {
            Hearing.Came delivery = channel.next();
            same(Integer.toString(i), delivery.text());
            same(false, delivery.envelope().isRedeliver());
            same(queue, delivery.envelope().getRoutingKey());
            channel.ack(delivery);
        }
        channel.channel.close();
        same(0L, new Hearing(connection).ready(queue));
        return "";
    }

    private static String requeue(Place place) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        String queue = place.name("queue");
        channel.declare(queue, null);
        channel.publish(queue, "x");
        channel.consume(queue);
        channel.channel.basicNack(channel.next().envelope().getDeliveryTag(), false, true);
        Hearing.Came again = channel.next();
        same(true, again.envelope().isRedeliver());
        channel.channel.basicReject(again.envelope().getDeliveryTag(), true);
        channel.channel.basicNack(channel.next().envelope().getDeliveryTag(), false, false);
        channel.publish(queue, "y");
        Hearing.Came last = channel.next();
        same("y", last.text());
        same(false, last.envelope().isRedeliver());
        channel.channel.basicReject(last.envelope().getDeliveryTag(), false);
        channel.channel.close();
        same(0L, new Hearing(connection).ready(queue));
        return "";
    }

    private static String prefetch(Place place) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        Hearing other = new Hearing(connection);
        String queue = place.name("queue");
        channel.declare(queue, null);
        for (int i = 0; i < 10; i++) {
            channel.publish(queue, Integer.toString(i));
        }
        channel.channel.basicQos(3);
        channel.consume(queue);
        Hearing.Came first = channel.next();
        same("1", channel.next().text());
        same("2", channel.next().text());
        same(7L, other.ready(queue));
        channel.ack(first);
        same("3", channel.next().text());
        same(6L, other.ready(queue));
        return "";
    }

    private static String deadLetter(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        String dead = place.name("dead");
        channel.declare(queue, Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
        channel.declare(dead, null);
        channel.consume(dead);
        channel.publish(queue, "rejected");
        channel.channel.basicReject(channel.get(queue, false).envelope().getDeliveryTag(), false);
        channel.publish("", queue, false, Hearing.TRANSIENT.builder().expiration("1").build(), "expired".getBytes());
        for (String reason : List.of("rejected", "expired")) {
            Hearing.Came delivery = channel.next();
            same(reason, delivery.text());
            Map<?, ?> headers = (Map<?, ?>) plain(delivery.properties().getHeaders());
            List<?> deaths = (List<?>) headers.get("x-death");
            same(1, deaths.size());
            Map<Object, Object> death = new HashMap<>((Map<?, ?>) deaths.get(0));
            same(true, death.remove("time") instanceof Date);
            same(reason.equals("expired") ? "1" : null, death.remove("original-expiration"));
            same(Map.of("count", 1L, "reason", reason, "queue", queue, "exchange", "", "routing-keys", List.of(queue)), death);
            same(reason, headers.get("x-first-death-reason"));
            same(queue, headers.get("x-first-death-queue"));
            same("", headers.get("x-first-death-exchange"));
        }
        return "";
    }

    /** Strings come as LongString, bytes as arrays: both as what can be compared. */
    private static Object plain(Object value) {
        if (value instanceof LongString) {
            return value.toString();
        } else if (value instanceof byte[]) {
            return Arrays.toString((byte[]) value);
        } else if (value instanceof List) {
            List<Object> list = new ArrayList<>();
            ((List<?>) value).forEach(each -> list.add(plain(each)));
            return list;
        } else if (value instanceof Map) {
            Map<Object, Object> map = new HashMap<>();
            ((Map<?, ?>) value).forEach((name, each) -> map.put(name, plain(each)));
            return map;
        }
        return value;
    }

    private static String cancel(Place place) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        String queue = place.name("queue");
        channel.declare(queue, null);
        String tag = channel.consume(queue);
        new Hearing(connection).channel.queueDelete(queue);
        same(tag, channel.cancelled());
        return "";
    }

    private static String bodies(Place place, int... sizes) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        channel.declare(queue, null);
        channel.consume(queue);
        for (int size : sizes) {
            byte[] body = new byte[size];
            for (int i = 0; i < size; i++) {
                body[i] = (byte) (i * 7 % 251);
            }
            same("ack", channel.publish(queue, body));
            Hearing.Came delivery = channel.next();
            same(true, Arrays.equals(body, delivery.body()));
            channel.ack(delivery);
        }
        return "";
    }

    private static String headers(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        channel.declare(queue, null);
        Map<String, Object> sent = new HashMap<>();
        sent.put("boolean", true);
        sent.put("byte", (byte) -100);
        sent.put("short", (short) -30_000);
        sent.put("int", -2_000_000_000);
        sent.put("long", -(1L << 62));
        sent.put("float", 0.1f);
        sent.put("double", 0.1);
        sent.put("decimal", new BigDecimal("-3.14"));
        sent.put("string", "x".repeat(10_000));
        sent.put("bytes", new byte[] {0, -1, -2});
        sent.put("time", new Date(1_767_323_045_000L));
        sent.put("null", null);
        sent.put("list", Arrays.asList(1, "two", null, Map.of("four", true), List.of()));
        sent.put("table", Map.of("a", Map.of("b", Map.of("c", List.of(1))), "empty", Map.of()));
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .contentType("text/plain").contentEncoding("utf-8").deliveryMode(1).priority(3).correlationId("c")
                .replyTo("r").expiration("60000").messageId("m").timestamp(new Date(1_767_323_045_000L)).type("t")
                .userId("guest").appId("a").build();
        same("ack", channel.publish("", queue, false, properties.builder().headers(sent).build(), new byte[0]));
        Hearing.Came delivery = channel.get(queue, true);
        same(plain(sent), plain(delivery.properties().getHeaders()));
        same(properties.toString(), delivery.properties().builder().headers(null).build().toString());
        return "";
    }

    private static String unicode(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String name = place.name("Grüße-κόσμε-世界-🐇");
        String key = "schlüssel.世界";
        channel.channel.exchangeDeclare(name, "direct", false, true, null);
        channel.declare(name, null);
        channel.channel.queueBind(name, name, key);
        Map<String, Object> headers = Map.of("ключ", "значение 🐇");
        AMQP.BasicProperties properties = Hearing.TRANSIENT.builder().headers(headers).messageId("ñ").build();
        same("ack", channel.publish(name, key, true, properties, "тело".getBytes(StandardCharsets.UTF_8)));
        Hearing.Came delivery = channel.get(name, true);
        same(name, delivery.envelope().getExchange());
        same(key, delivery.envelope().getRoutingKey());
        same("тело", delivery.text());
        same(headers, plain(delivery.properties().getHeaders()));
        same("ñ", delivery.properties().getMessageId());
        return "";
    }

    private static String channels(Place place) throws Exception {
        Connection connection = place.connect();
        List<Hearing> many = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            many.add(new Hearing(connection));
        }
        String queue = place.name("queue");
        many.get(0).declare(queue, null);
        for (int i = 0; i < 1000; i++) {
            same("ack", many.get(i).publish(queue, Integer.toString(i)));
        }
        same(1000L, many.get(0).ready(queue));
        for (Hearing each : many) {
            each.channel.close();
        }
        same("0", new Hearing(connection).get(queue, true).text());
        return "";
    }

    private static String heartbeat(Place place) throws Exception {
        Connection connection = place.connect(factory -> factory.setRequestedHeartbeat(2));
        Thread.sleep(7_000);
        roundTrip(place, connection);
        return "";
    }

    private static String frozen(Place place) throws Exception {
        Hearing channel = new Hearing(place.connect());
        String queue = place.name("queue");
        channel.channel.queueDeclare(queue, false, false, false, null);
        channel.publish(queue, "held");
        place.ask("freeze " + queue);
        channel.consume(queue);
        Hearing.Came delivery = channel.next();
        same("held", delivery.text());
        same(true, delivery.envelope().isRedeliver());
        channel.ack(delivery);
        channel.channel.queueDelete(queue);
        return "";
    }

    private static String afterARestart(Place place, String how) throws Exception {
        Connection connection = place.connect();
        Hearing channel = new Hearing(connection);
        Hearing publisher = new Hearing(connection);
        String kept = place.name("kept");
        String exchange = place.name("exchange");
        String mine = place.name("mine");
        channel.channel.queueDeclare(kept, true, false, false, null);
        channel.channel.exchangeDeclare(exchange, "direct", true);
        AMQP.BasicProperties persistent = new AMQP.BasicProperties.Builder().deliveryMode(2).build();
        for (int i = 0; i < 10; i++) {
            same("ack", channel.publish("", kept, false, persistent, Integer.toString(i).getBytes()));
        }
        // An exclusive queue, its binding and its consumer have to come back by themselves.
        channel.declare(mine, null);
        channel.channel.queueBind(mine, exchange, "key");
        channel.consume(mine);
        same("ack", publisher.publish(exchange, "key", true, Hearing.TRANSIENT, "before".getBytes()));
        channel.ack(channel.next());
        place.ask(how);
        long deadline = System.currentTimeMillis() + Place.WAIT_MILLISECONDS;
        while (!published(publisher, exchange) && System.currentTimeMillis() < deadline) {
            Thread.sleep(100);
        }
        Hearing.Came delivery = channel.next();
        while (delivery.text().equals("before")) {
            channel.ack(delivery);
            delivery = channel.next();
        }
        same("after", delivery.text());
        channel.ack(delivery);
        Hearing fresh = new Hearing(place.connect());
        for (int i = 0; i < 10; i++) {
            same(Integer.toString(i), fresh.get(kept, true).text());
        }
        same(null, fresh.get(kept, true));
        fresh.channel.queueDelete(kept);
        fresh.channel.exchangeDelete(exchange);
        return "by itself";
    }

    /** While the client recovers, publishing fails or finds no queue yet. */
    private static boolean published(Hearing publisher, String exchange) {
        try {
            return publisher.publish(exchange, "key", true, Hearing.TRANSIENT, "after".getBytes()).equals("ack");
        } catch (Exception recovering) {
            return false;
        }
    }
}
