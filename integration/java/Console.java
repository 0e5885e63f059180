// SPDX-License-Identifier: Apache-2.0
import com.sun.security.auth.module.Krb5LoginModule;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.PrivilegedExceptionAction;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import javax.security.auth.Subject;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSCredential;
import org.ietf.jgss.GSSException;
import org.ietf.jgss.GSSManager;

/**
 * A console that logs clients in as Hadoop's AuthenticationFilter does, by JGSS: {@code java
 * Console.java ADDRESS PORT KEYTAB cookie|every-request}. Every page says who the client is.
 */
public class Console {
    private final boolean cookies;
    private final Set<String> issued = ConcurrentHashMap.newKeySet();
    private final Subject subject = new Subject();

    private Console(String keytab, boolean cookies) throws Exception {
        this.cookies = cookies;
        Krb5LoginModule module = new Krb5LoginModule();
        module.initialize(subject, null, Map.of(), Map.of("useKeyTab", "true", "keyTab", keytab,
                "principal", "*", "doNotPrompt", "true", "storeKey", "true", "isInitiator", "false"));
        module.login();
        module.commit();
    }

    public static void main(String[] words) throws Exception {
        Console console = new Console(words[2], words[3].equals("cookie"));
        InetAddress address = InetAddress.getByName(words[0]);
        try (ServerSocket server = new ServerSocket(Integer.parseInt(words[1]), 50, address)) {
            while (true) {
                Socket client = server.accept();
                new Thread(() -> console.serve(client)).start();
            }
        }
    }

    private void serve(Socket socket) {
        try (Socket client = socket) {
            BufferedReader in = new BufferedReader(
                    new InputStreamReader(client.getInputStream(), StandardCharsets.ISO_8859_1));
            String token = null;
            String user = null;
            for (String line = in.readLine(); line != null && !line.isEmpty(); line = in.readLine()) {
                String lower = line.toLowerCase();
                if (lower.startsWith("authorization: negotiate ")) {
                    token = line.substring("authorization: negotiate ".length()).trim();
                } else if (lower.startsWith("cookie:")) {
                    for (String known : issued) {
                        if (line.contains(known)) {
                            user = known.substring(known.indexOf("u=") + 2, known.indexOf('&'));
                        }
                    }
                }
            }
            OutputStream out = client.getOutputStream();
            out.write(answer(user, token).getBytes(StandardCharsets.ISO_8859_1));
            out.flush();
        } catch (Exception error) {
            System.err.println(error);
        }
    }

    private String answer(String user, String token) throws Exception {
        if (user != null) {
            return page("200 OK", "", user);
        }
        if (token == null) {
            return page("401 Authentication required", "WWW-Authenticate: Negotiate\r\n", "");
        }
        byte[] bytes = Base64.getDecoder().decode(token);
        try {
            return Subject.doAs(subject, (PrivilegedExceptionAction<String>) () -> accept(bytes));
        } catch (java.security.PrivilegedActionException error) {
            // AuthenticationFilter: sendError(403, the exception)
            return page("403 " + error.getCause(), "", "");
        }
    }

    private String accept(byte[] token) throws GSSException {
        GSSContext context = GSSManager.getInstance().createContext((GSSCredential) null);
        byte[] mutual = context.acceptSecContext(token, 0, token.length);
        String client = context.getSrcName().toString();
        String headers =
                "WWW-Authenticate: Negotiate " + Base64.getEncoder().encodeToString(mutual) + "\r\n";
        if (cookies) {
            long end = System.currentTimeMillis() + 36_000_000;
            String value = "hadoop.auth=\"u=" + client + "&p=" + client + "&t=kerberos&e=" + end
                    + "&s=" + issued.size() + "\"";
            issued.add(value);
            headers += "Set-Cookie: " + value + "; Path=/; HttpOnly\r\n";
        }
        return page("200 OK", headers, client);
    }

    private static String page(String status, String headers, String body) {
        return "HTTP/1.1 " + status + "\r\n" + headers + "Content-Type: text/plain\r\nConnection: close\r\n"
                + "Content-Length: " + body.length() + "\r\n\r\n" + body;
    }
}
