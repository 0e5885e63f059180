// SPDX-License-Identifier: Apache-2.0
import com.sun.security.auth.module.Krb5LoginModule;
import java.security.PrivilegedExceptionAction;
import java.util.Map;
import javax.security.auth.Subject;
import org.ietf.jgss.GSSContext;
import org.ietf.jgss.GSSManager;
import org.ietf.jgss.GSSName;
import org.ietf.jgss.Oid;

/**
 * Logs in as Java programs do and gets a token: {@code java Login.java KEYTAB PRINCIPAL
 * SERVICE@HOST}. Prints the principal and the token's length.
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
        byte[] token = Subject.doAs(subject, (PrivilegedExceptionAction<byte[]>) () -> {
            GSSManager manager = GSSManager.getInstance();
            GSSName service = manager.createName(words[2], GSSName.NT_HOSTBASED_SERVICE);
            Oid spnego = new Oid("1.3.6.1.5.5.2");
            GSSContext context =
                    manager.createContext(service, spnego, null, GSSContext.DEFAULT_LIFETIME);
            return context.initSecContext(new byte[0], 0, 0);
        });
        System.out.println(subject.getPrincipals().iterator().next() + " " + token.length);
    }
}
