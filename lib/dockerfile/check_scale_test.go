package dockerfile_test

import (
	"fmt"
	"maps"
	"runtime"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
)

// checkShapes are inputs at which a check could be quadratic: chains of stages
// that see each other's names, values that grow, names like many others.
var checkShapes = map[string]func(n int) string{
	"chain": func(n int) string {
		return repeat(n/40, func(i int) string { return fmt.Sprintf("FROM s%d AS s%d\nENV A%d=$B%d\n", i-1, i, i, i) })
	},
	"children": func(n int) string {
		return "FROM scratch AS a\n" + strings.Repeat("ENV A=b\n", n/16) + strings.Repeat("FROM a\n", n/14)
	},
	"undefined": func(n int) string {
		return "FROM scratch\n" + repeat(n/16, func(i int) string { return fmt.Sprintf("USER $u%d\n", i) })
	},
	"names": func(n int) string {
		return "FROM scratch\n" + repeat(n/22, func(i int) string { return fmt.Sprintf("ENV V%d=$W%d\n", i, i) })
	},
	"in FROM":  func(n int) string { return repeat(n/10, func(i int) string { return fmt.Sprintf("FROM a$u%d\n", i) }) },
	"growing":  func(n int) string { return "FROM scratch\n" + strings.Repeat("ENV a=$a$a$a.\n", n/15) },
	"patterns": func(n int) string { return "FROM scratch\nENV a=x\n" + strings.Repeat("USER ${a//x/$a}\n", n/16) },
	"ports":    func(n int) string { return "FROM scratch\nEXPOSE " + strings.Repeat("1:2/TCP ", n/8) },
	"document": func(n int) string { return "FROM scratch\nCOPY <<E /\n" + strings.Repeat("$a$b\n", n/5) + "E\n" },
	"secrets":  func(n int) string { return "FROM scratch\nARG " + strings.Repeat("KEY_", n/4) },
	"comments": func(n int) string { return strings.Repeat("# x y\nFROM a AS b\n", n/18) },
}

func repeat(n int, f func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(f(i))
	}
	return b.String()
}

// TestLinearChecks compares what the checks allocate for an input with what
// they allocate for one eight times as long; at its largest only linear work
// ends in time.
func TestLinearChecks(t *testing.T) {
	small, large := 32<<10, 256<<10
	all := maps.Clone(checkShapes)
	for name, shape := range shapes {
		all["parser: "+name] = func(n int) string { return "FROM scratch\n" + shape(n) }
	}
	for name, shape := range all {
		a, b := checkCost(shape(small)), checkCost(shape(large))
		if b > 12*a+1<<20 {
			t.Errorf("%s: %d bytes for %d, %d for %d", name, a, small, b, large)
		}
		if most := uint64(large) * 60; b > most {
			t.Errorf("%s: %d bytes for an input of %d", name, b, large)
		}
	}
	if testing.Short() {
		return
	}
	for _, shape := range checkShapes {
		checkCost(shape(4 << 20))
	}
}

// checkCost is what the checks alone allocate; nothing for what does not parse.
func checkCost(src string) uint64 {
	f, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
	if err != nil {
		return 0
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	dockerfile.Check(f, dockerfile.CheckOptions{})
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
