package cli

import "fmt"

// Size is a number of bytes for people: three digits, in powers of ten, the way
// image listings have it.
func Size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	f, unit := float64(n), 0
	for ; f >= 999.5; unit++ {
		f /= 1000
	}
	return fmt.Sprintf("%.3g%s", f, []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}[unit])
}
