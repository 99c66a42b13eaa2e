package main

import (
	"fmt"
	"testing"

	"docksmith/lib/build"
	"docksmith/lib/compare"
)

// TestSample: the share of the keys, other ones with another seed, and more with
// a larger share.
func TestSample(t *testing.T) {
	const keys = 20000
	for _, share := range []float64{0, 0.005, 0.05, 0.5, 1} {
		a, b, more := &rechecker{share: share, seed: "a"}, &rechecker{share: share, seed: "b"}, &rechecker{share: share + 0.1, seed: "a"}
		n, both := 0, 0
		for i := range keys {
			key := fmt.Sprintf("blake3:%x", i)
			if !a.sample(key) {
				continue
			}
			n++
			if b.sample(key) {
				both++
			}
			if !more.sample(key) {
				t.Fatalf("%s is in %v of the keys and not in more", key, share)
			}
		}
		if want := share * keys; float64(n) < want*0.8 || float64(n) > want*1.2 {
			t.Errorf("%v of %d keys: %d", share, keys, n)
		}
		if want := share * share * keys; float64(both) > want*1.2+10 {
			t.Errorf("%v: two seeds have %d in common, of %d", share, both, n)
		}
	}
}

func TestCheckFlag(t *testing.T) {
	for value, want := range map[string]options{
		"true": {check: true}, "false": {}, "5%": {rechecks: true, recheck: 0.05},
		"0%": {rechecks: true}, "100%": {rechecks: true, recheck: 1}, "0.5%": {rechecks: true, recheck: 0.005},
	} {
		o := options{}
		if err := (checkFlag{&o}).Set(value); err != nil || o.check != want.check || o.rechecks != want.rechecks || o.recheck != want.recheck {
			t.Errorf("%s: %+v, %v", value, o, err)
		}
	}
	for _, value := range []string{"", "5", "%", "-1%", "101%", "NaN%", "x"} {
		if (checkFlag{&options{}}).Set(value) == nil {
			t.Errorf("%q is taken", value)
		}
	}
}

func TestLayerChange(t *testing.T) {
	for want, d := range map[string]compare.Difference{
		"{a [added]}":         {Path: "a", Change: compare.Added},
		"{a [removed]}":       {Path: "a", Change: compare.Deleted},
		"{a [content owner]}": {Path: "a", Change: compare.Changed, What: []compare.Aspect{compare.Content, compare.Owner}},
		"{ [order]}":          {Change: compare.Changed, What: []compare.Aspect{compare.Order}},
	} {
		var c build.LayerChange = layerChange(d)
		if got := fmt.Sprint(c); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
