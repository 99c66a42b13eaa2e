package sandbox

import (
	"fmt"
	"strconv"
	"strings"
)

// maxCPU is more than any kernel has.
const maxCPU = 1 << 16

// ParseCPUList reads a list of numbers as the kernel writes it: "0-2,5".
func ParseCPUList(list string) (map[int]bool, error) {
	out := map[int]bool{}
	for _, word := range strings.Split(list, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(word), "-")
		if !isRange {
			last = first
		}
		a, err := strconv.Atoi(first)
		b, err2 := strconv.Atoi(last)
		if err != nil || err2 != nil || a < 0 || b < a || b >= maxCPU {
			return nil, fmt.Errorf("%q is no list of numbers like 0-2,5", list)
		}
		for ; a <= b; a++ {
			out[a] = true
		}
	}
	return out, nil
}

// Size is a number of bytes for people, exact.
func Size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; n != 0 && n%1024 == 0 && i < len(units)-1; i++ {
		n /= 1024
	}
	return fmt.Sprintf("%d %s", n, units[i])
}
