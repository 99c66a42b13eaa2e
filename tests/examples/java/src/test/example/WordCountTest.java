package example;

import java.util.List;
import java.util.stream.Stream;

public final class WordCountTest {
    public static void main(String[] args) {
        var counts = WordCount.count(Stream.of("To be, or not", "to be"));
        var want = List.of("2 be", "2 to", "1 not", "1 or");
        assert counts.stream().map(Object::toString).toList().equals(want) : counts;
        System.out.println("ok");
    }
}
