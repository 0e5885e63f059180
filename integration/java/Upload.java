import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Arrays;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

/** Puts files by java.net.http, over HTTP/2 and HTTP/1.1: Upload URL COOKIE FILE... */
public final class Upload {
    public static void main(String[] arguments) throws Exception {
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, new TrustManager[] {new Anybody()}, null);
        for (HttpClient.Version version : new HttpClient.Version[] {HttpClient.Version.HTTP_2, HttpClient.Version.HTTP_1_1}) {
            for (String file : Arrays.asList(arguments).subList(2, arguments.length)) {
                HttpClient client = HttpClient.newBuilder().sslContext(tls).version(version).build();
                HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(arguments[0]))
                        .timeout(Duration.ofSeconds(120))
                        .PUT(HttpRequest.BodyPublishers.ofFile(Path.of(file)));
                if (!arguments[1].isEmpty()) {
                    request.header("Cookie", arguments[1]);
                }
                HttpResponse<Void> answer = client.send(request.build(), HttpResponse.BodyHandlers.discarding());
                String spoken = answer.version() == HttpClient.Version.HTTP_2 ? "2" : "1.1";
                System.out.println(spoken + " " + answer.statusCode());
            }
        }
        // the clients' threads are not daemons on every version
        System.exit(0);
    }

    /** The gateway's certificate is its own. */
    private static final class Anybody extends X509ExtendedTrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String type) {}

        public void checkServerTrusted(X509Certificate[] chain, String type) {}

        public void checkClientTrusted(X509Certificate[] chain, String type, Socket socket) {}

        public void checkServerTrusted(X509Certificate[] chain, String type, Socket socket) {}

        public void checkClientTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        public void checkServerTrusted(X509Certificate[] chain, String type, SSLEngine engine) {}

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
