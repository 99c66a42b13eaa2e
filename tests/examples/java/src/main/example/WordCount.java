package example;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Counts words on standard input. */
public final class WordCount {
    record Count(String word, long times) {
        @Override
        public String toString() {
            return times + " " + word;
        }
    }

    static List<Count> count(Stream<String> lines) {
        Map<String, Long> counts = lines
                .flatMap(line -> Stream.of(line.toLowerCase().split("\\P{L}+")))
                .filter(word -> !word.isEmpty())
                .collect(Collectors.groupingBy(word -> word, Collectors.counting()));
        return counts.entrySet().stream()
                .map(e -> new Count(e.getKey(), e.getValue()))
                .sorted(Comparator.comparing(Count::times).reversed().thenComparing(Count::word))
                .toList();
    }

    public static void main(String[] args) throws IOException {
        try (var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            count(in.lines()).forEach(System.out::println);
        }
    }
}
