import java.util.Map;

/**
 * The driver of RabbitMQ's Java client: runs the features it is told, a JSON line for each.
 *
 * <p>In come the broker's URLs and FEATURES from the environment (see ../README.md). {@code Driver
 * frozen QUEUE} is the client that will stand still.
 */
public final class Driver {
    public static void main(String[] arguments) throws Exception {
        if (arguments.length == 2 && arguments[0].equals("frozen")) {
            standStill(arguments[1]);
        }
        Map<String, Scenarios.Scenario> scenarios = Scenarios.all();
        for (String feature : System.getenv("FEATURES").split(",")) {
            try (Place place = new Place()) {
                String remark = scenarios.get(feature).run(place);
                say("feature", feature, "result", "ok", "text", remark);
            } catch (Place.Skipped why) {
                say("feature", feature, "result", "skip", "text", why.getMessage());
            } catch (Throwable error) {
                error.printStackTrace();
                say("feature", feature, "result", "fail", "text", where(error) + error);
            }
        }
        System.exit(0);
    }

    /**
     * Holds a message of the queue, unacked, on a connection that will beat no more: the one who
     * started us stops this process.
     */
    private static void standStill(String queue) throws Exception {
        Place place = new Place();
        Hearing channel = new Hearing(place.connect(factory -> factory.setRequestedHeartbeat(1)));
        channel.consume(queue);
        channel.next();
        say("ready", queue);
        Thread.sleep(Long.MAX_VALUE);
    }

    /** Prints a JSON object of these names and strings. */
    static void say(String... namesAndValues) {
        StringBuilder line = new StringBuilder("{");
        for (int i = 0; i < namesAndValues.length; i += 2) {
            line.append(i == 0 ? "" : ",").append(quoted(namesAndValues[i]));
            line.append(":").append(quoted(namesAndValues[i + 1]));
        }
        System.out.println(line.append("}"));
        System.out.flush();
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                quoted.append('\\').append(c);
            } else if (c < ' ' || c > '~') {
                quoted.append(String.format("\\u%04x", (int) c));
            } else {
                quoted.append(c);
            }
        }
        return quoted.append('"').toString();
    }

    private static String where(Throwable error) {
        for (StackTraceElement at : error.getStackTrace()) {
            if (at.getClassName().startsWith("Scenarios")) {
                return at.getFileName() + ":" + at.getLineNumber() + " ";
            }
        }
        return "";
    }
}
