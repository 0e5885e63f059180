// SPDX-License-Identifier: Apache-2.0
import com.sun.security.auth.module.Krb5LoginModule;
import java.security.PrivilegedExceptionAction;
import java.util.Base64;
import java.util.Map;
import javax.security.auth.Subject;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.Oid;

/**
 * Logs in as Java programs do and gets tokens: {@code java Login.java KEYTAB PRINCIPAL
 * SERVICE...}, each as {@code SERVICE@HOST}, or {@code SERVICE/HOST@REALM} for a name that is asked for
 * as it is spelt. Prints the principal, the token's length and the token, one line a service.
 */
public class Login {
    public static void main(String[] words) throws Exception {
        Subject subject = new Subject();
        Krb5LoginModule module = new Krb5LoginModule();
        Map<String, String> options = Map.of("useKeyTab", "true", "keyTab", words[0], "principal",
                words[1], "doNotPrompt", "true", "isInitiator", "true");
        module.initialize(subject, null, Map.of(), options);
        module.login();
        module.commit();
        for (int i = 2; i < words.length; i++) {
            byte[] token = token(subject, words[i]);
            System.out.println(subject.getPrincipals().iterator().next() + " " + token.length + " "
                    + Base64.getEncoder().encodeToString(token));
        }
    }

    private static byte[] token(Subject subject, String name) throws Exception {
        return Subject.doAs(subject, (PrivilegedExceptionAction<byte[]>) () -> {
            GSSManager manager = GSSManager.getInstance();
            Oid spelt = new Oid("1.2.840.113554.1.2.2.1");
            GSSName service = manager.createName(name,
                    name.contains("/") ? spelt : GSSName.NT_HOSTBASED_SERVICE);
            Oid spnego = new Oid("1.3.6.1.5.5.2");
            GSSContext context =
                    manager.createContext(service, spnego, null, GSSContext.DEFAULT_LIFETIME);
            return context.initSecContext(new byte[0], 0, 0);
        });
    }
}
