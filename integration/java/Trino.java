// SPDX-License-Identifier: Apache-2.0
package io.trino.server;

/** Starts Trino: the class that its distribution does this with is in no registry. */
public class Trino {
    public static void main(String[] words) {
        new Server().start(words[0]);
    }
}
