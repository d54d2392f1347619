import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.GetResponse;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A channel in confirm mode with what it hears: returns, deliveries, cancels. */
final class Hearing {
    static final AMQP.BasicProperties TRANSIENT = new AMQP.BasicProperties.Builder().deliveryMode(1).build();

    final Channel channel;
    private final BlockingQueue<String> returned = new LinkedBlockingQueue<>();
    private final BlockingQueue<Came> came = new LinkedBlockingQueue<>();
    private final BlockingQueue<String> cancels = new LinkedBlockingQueue<>();

    /** A delivery. */
    record Came(Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
        String text() {
            return new String(body, java.nio.charset.StandardCharsets.UTF_8);
        }
    }

    Hearing(Connection connection) throws Exception {
        channel = connection.createChannel();
        channel.confirmSelect();
        channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.add("returned " + code + " " + text));
    }

    void declare(String queue, Map<String, Object> arguments) throws Exception {
        channel.queueDeclare(queue, false, true, false, arguments);
    }

    long ready(String queue) throws Exception {
        return channel.queueDeclarePassive(queue).getMessageCount();
    }

    /** Publishes one; "ack", "nack" or what came back. */
    String publish(String exchange, String key, boolean mandatory, AMQP.BasicProperties properties, byte[] body)
            throws Exception {
        channel.basicPublish(exchange, key, mandatory, properties, body);
        boolean acked = channel.waitForConfirms(Place.WAIT_MILLISECONDS);
        String back = returned.poll();
        return back != null ? back : acked ? "ack" : "nack";
    }

    String publish(String queue, byte[] body) throws Exception {
        return publish("", queue, false, TRANSIENT, body);
    }

    String publish(String queue, String body) throws Exception {
        return publish(queue, body.getBytes("UTF-8"));
    }

    /** Gets one; nothing if there is none. */
    Came get(String queue, boolean autoAck) throws Exception {
        GetResponse got = channel.basicGet(queue, autoAck);
        return got == null ? null : new Came(got.getEnvelope(), got.getProps(), got.getBody());
    }

    String consume(String queue) throws Exception {
        return channel.basicConsume(queue, false, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) {
                came.add(new Came(envelope, properties, body));
            }

            @Override
            public void handleCancel(String tag) {
                cancels.add(tag);
            }
        });
    }

    Came next() throws Exception {
        return taken("a delivery", came);
    }

    String cancelled() throws Exception {
        return taken("a cancel", cancels);
    }

    private static <T> T taken(String what, BlockingQueue<T> from) throws Exception {
        T it = from.poll(Place.WAIT_MILLISECONDS, TimeUnit.MILLISECONDS);
        if (it == null) {
            throw new AssertionError(what + " did not come");
        }
        return it;
    }

    void ack(Came delivery) throws Exception {
        channel.basicAck(delivery.envelope().getDeliveryTag(), false);
    }
}
