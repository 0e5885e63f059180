// SPDX-License-Identifier: Apache-2.0
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * Runs SQL by JDBC, all statements on one connection: {@code java -cp DRIVER Sql.java URL
 * [NAME=VALUE...] -- STATEMENT...}. A row is a line with tabs.
 */
public class Sql {
    public static void main(String[] words) throws Exception {
        Properties properties = new Properties();
        int next = 1;
        for (; !words[next].equals("--"); next++) {
            String[] pair = words[next].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        try (Connection connection = DriverManager.getConnection(words[0], properties);
                Statement statement = connection.createStatement()) {
            for (next++; next < words.length; next++) {
                if (statement.execute(words[next])) {
                    print(statement.getResultSet());
                }
            }
        } catch (SQLException error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println(cause);
            }
            System.exit(1);
        }
        // some drivers leave threads behind
        System.exit(0);
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
