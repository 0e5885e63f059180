// SPDX-License-Identifier: Apache-2.0
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import org.apache.hadoop.security.authentication.util.KerberosName;

/**
 * What Hadoop's KerberosName makes of rules and principals: {@code java Names.java FILE}.
 *
 * <p>A line of FILE is {@code M mechanism}, {@code R rules} or {@code P principal}, the last two in
 * hexadecimal UTF-8. For each of the last two a line is printed: {@code ok} or {@code no} for rules,
 * {@code =name} or {@code no} for a principal under the rules before it.
 */
public class Names {
    public static void main(String[] words) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        boolean rulesRead = false;
        for (String line : Files.readAllLines(Path.of(words[0]))) {
            String value = line.substring(2);
            switch (line.charAt(0)) {
                case 'M' -> KerberosName.setRuleMechanism(value);
                case 'R' -> {
                    rulesRead = read(text(value));
                    out.println(rulesRead ? "ok" : "no");
                }
                default -> out.println(rulesRead ? mapped(text(value)) : "no");
            }
        }
        out.flush();
    }

    private static boolean read(String rules) {
        try {
            KerberosName.setRules(rules);
            return true;
        } catch (RuntimeException refused) {
            return false;
        }
    }

    private static String mapped(String principal) {
        try {
            String name = new KerberosName(principal).getShortName();
            return "=" + HexFormat.of().formatHex(name.getBytes(StandardCharsets.UTF_8));
        } catch (Exception | StackOverflowError refused) {
            return "no";
        }
    }

    private static String text(String hex) {
        return new String(HexFormat.of().parseHex(hex), StandardCharsets.UTF_8);
    }
}
