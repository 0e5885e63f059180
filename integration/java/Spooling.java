// SPDX-License-Identifier: Apache-2.0
package lab;

import io.airlift.slice.Slice;
import io.airlift.slice.Slices;
import io.trino.spi.Plugin;
import io.trino.spi.spool.SpooledLocation;
import io.trino.spi.spool.SpooledLocation.DirectLocation;
import io.trino.spi.spool.SpooledSegmentHandle;
import io.trino.spi.spool.SpoolingContext;
import io.trino.spi.spool.SpoolingManager;
import io.trino.spi.spool.SpoolingManagerContext;
import io.trino.spi.spool.SpoolingManagerFactory;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;

/**
 * Spooled results in a folder: what Trino's distribution has for this wants the storage of a cloud.
 * All else of the spooling protocol is Trino's own.
 */
public class Spooling implements Plugin {
    @Override
    public Iterable<SpoolingManagerFactory> getSpoolingManagerFactories() {
        return List.of(new Factory());
    }

    private static class Factory implements SpoolingManagerFactory {
        @Override
        public String getName() {
            return "folder";
        }

        @Override
        public SpoolingManager create(Map<String, String> config, SpoolingManagerContext context) {
            return new Manager(Path.of(config.get("folder")));
        }
    }

    private record Handle(String identifier, String encoding, Instant expirationTime)
            implements SpooledSegmentHandle {}

    private record Manager(Path folder) implements SpoolingManager {
        @Override
        public SpooledSegmentHandle create(SpoolingContext context) {
            Instant end = Instant.now().plus(Duration.ofHours(1));
            return new Handle(UUID.randomUUID().toString(), context.encoding(), end);
        }

        private Path file(SpooledSegmentHandle handle) {
            return folder.resolve(handle.identifier());
        }

        @Override
        public OutputStream createOutputStream(SpooledSegmentHandle handle) throws IOException {
            return Files.newOutputStream(file(handle));
        }

        @Override
        public InputStream openInputStream(SpooledSegmentHandle handle) throws IOException {
            return Files.newInputStream(file(handle));
        }

        @Override
        public void acknowledge(SpooledSegmentHandle handle) throws IOException {
            Files.delete(file(handle));
        }

        @Override
        public Optional<DirectLocation> directLocation(SpooledSegmentHandle handle) {
            return Optional.empty();
        }

        @Override
        public SpooledLocation location(SpooledSegmentHandle handle) {
            String words = handle.identifier() + " " + handle.encoding();
            return SpooledLocation.coordinatorLocation(Slices.utf8Slice(words), Map.of());
        }

        @Override
        public SpooledSegmentHandle handle(Slice identifier, Map<String, List<String>> headers) {
            String[] words = identifier.toStringUtf8().split(" ");
            return new Handle(words[0], words[1], Instant.MAX);
        }
    }
}
