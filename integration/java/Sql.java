// SPDX-License-Identifier: Apache-2.0
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * Runs SQL by JDBC, all statements on one connection: {@code java -cp DRIVER Sql.java URL
 * [NAME=VALUE...] -- [STATEMENT...]}. A row is a line with tabs.
 *
 * <p>Without statements they are read, a line each; after the rows of each comes a line with EOT and,
 * where it failed, why: the next one then has a new connection.
 */
public class Sql {
    public static void main(String[] words) throws Exception {
        Properties properties = new Properties();
        int next = 1;
        for (; !words[next].equals("--"); next++) {
            String[] pair = words[next].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        if (++next == words.length) {
            serve(words[0], properties);
            System.exit(0);
        }
        try (Connection connection = DriverManager.getConnection(words[0], properties);
                Statement statement = connection.createStatement()) {
            for (; next < words.length; next++) {
                run(statement, words[next]);
            }
        } catch (SQLException error) {
            System.err.println(causes(error));
            System.exit(1);
        }
        // some drivers leave threads behind
        System.exit(0);
    }

    private static void serve(String url, Properties properties) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        Connection connection = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String why = "";
            try {
                if (connection == null) {
                    connection = DriverManager.getConnection(url, properties);
                }
                try (Statement statement = connection.createStatement()) {
                    run(statement, line);
                }
            } catch (SQLException | RuntimeException error) {
                why = causes(error).replaceAll("\\s+", " ");
                abandon(connection);
                connection = null;
            }
            System.out.println("\u0004" + why);
            System.out.flush();
        }
    }

    private static void abandon(Connection connection) {
        try {
            if (connection != null) {
                connection.close();
            }
        } catch (SQLException | RuntimeException gone) {
            // its server is
        }
    }

    private static String causes(Throwable error) {
        StringBuilder text = new StringBuilder();
        for (Throwable cause = error; cause != null; cause = cause.getCause()) {
            text.append(cause).append('\n');
        }
        return text.toString().strip();
    }

    private static void run(Statement statement, String sql) throws SQLException {
        if (statement.execute(sql)) {
            print(statement.getResultSet());
        }
    }

    private static void print(ResultSet rows) throws SQLException {
        int columns = rows.getMetaData().getColumnCount();
        while (rows.next()) {
            StringBuilder line = new StringBuilder(String.valueOf(rows.getString(1)));
            for (int column = 2; column <= columns; column++) {
                line.append('\t').append(rows.getString(column));
            }
            System.out.println(line);
        }
    }
}
