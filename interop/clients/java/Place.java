import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.ArrayList;
import java.util.List;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Where a scenario runs: a broker's URLs, fresh names, and whoever can restart the broker. */
final class Place implements AutoCloseable {
    /** How long anything that must come is waited for. */
    static final int WAIT_MILLISECONDS = 20_000;

    private static final BufferedReader ANSWERS = new BufferedReader(new InputStreamReader(System.in));
    private static int made;

    final String url = System.getenv("AMQP_URL");
    private final List<Connection> opened = new ArrayList<>();

    /** The client or the broker at hand cannot do it; the message says why. */
    static final class Skipped extends RuntimeException {
        Skipped(String why) {
            super(why);
        }
    }

    /** Changes a factory before it connects. */
    interface Setting {
        void of(ConnectionFactory factory) throws Exception;
    }

    Connection connect() throws Exception {
        return connect(factory -> {});
    }

    Connection connect(Setting setting) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(url);
        factory.setNetworkRecoveryInterval(200);
        setting.of(factory);
        Connection connection = factory.newConnection();
        opened.add(connection);
        return connection;
    }

    /** Through TLS, trusting the CA of this file and showing a certificate of ours if asked to. */
    Connection connectTls(String variable, String ca, boolean certificate) throws Exception {
        String tlsUrl = System.getenv(variable);
        if (tlsUrl == null || tlsUrl.isEmpty()) {
            throw new Skipped("no " + variable);
        }
        SSLContext context = SSLContext.getInstance("TLS");
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream file = cert(ca)) {
            trusted.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        KeyStore ours = KeyStore.getInstance("PKCS12");
        if (certificate) {
            try (InputStream file = cert("client.p12")) {
                ours.load(file, "warren".toCharArray());
            }
        } else {
            ours.load(null, null);
        }
        keys.init(ours, "warren".toCharArray());
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return connect(factory -> {
            factory.setUri(tlsUrl);
            factory.useSslProtocol(context);
        });
    }

    private static InputStream cert(String name) throws Exception {
        return new FileInputStream(System.getenv("CERTS") + "/" + name);
    }

    String name(String what) {
        return "fleet-" + what + "-" + ProcessHandle.current().pid() + "-" + made++;
    }

    /** Has the broker killed or stopped and started again, or a second client frozen. */
    void ask(String what) throws Exception {
        if (System.getenv("FLEET_ASKS") == null) {
            throw new Skipped("nobody here who can restart the broker or freeze a client");
        }
        Driver.say("ask", what);
        String answer = ANSWERS.readLine();
        if (!"done".equals(answer)) {
            throw new IllegalStateException("answered " + answer);
        }
    }

    @Override
    public void close() {
        for (Connection connection : opened) {
            connection.abort(2_000);
        }
    }
}
