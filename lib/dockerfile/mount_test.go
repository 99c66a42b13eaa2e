package dockerfile_test

import (
	"strings"
	"testing"

	"docksmith/lib/dockerfile"

	"github.com/google/go-cmp/cmp"
)

func TestParseMount(t *testing.T) {
	number := func(n uint32) *uint32 { return &n }
	name := func(s string) *string { return &s }
	for value, want := range map[string]dockerfile.Mount{
		"target=/x":                    {Type: "bind", Target: "/x", ReadOnly: true},
		"dst=/x,rw":                    {Type: "bind", Target: "/x"},
		"destination=/x,readwrite=no":  {}, // an error
		"type=cache,target=/x":         {Type: "cache", Target: "/x"},
		"target=/x,ro,TYPE=Cache":      {Type: "cache", Target: "/x", ReadOnly: true},
		"type=cache,target=/x,rw=0":    {Type: "cache", Target: "/x", ReadOnly: true},
		`type=cache,"target=/x,y"`:     {Type: "cache", Target: "/x,y"},
		"type=tmpfs,target=/t,size=1":  {Type: "tmpfs", Target: "/t", Size: 1},
		"type=tmpfs,size=64m":          {Type: "tmpfs", Size: 64 << 20},
		"type=tmpfs,size=1.5GiB":       {Type: "tmpfs", Size: 3 << 29},
		"type=tmpfs,size=2 KB":         {Type: "tmpfs", Size: 2048},
		"type=tmpfs,size=-1":           {},
		"type=tmpfs,size=1e3":          {},
		"type=tmpfs,size=9999999p":     {},
		"type=tmpfs,size=m":            {},
		"type=tmpfs,size=1mm":          {},
		"type=ssh":                     {Type: "ssh", ReadOnly: true},
		"from=b,source=/s,target=$dir": {Type: "bind", From: "b", Source: "/s", Target: "/from/a/variable", ReadOnly: true},
		"type=secret,id=a,env=T,required,uid=1,gid=2,mode=0400": {
			Type: "secret", ID: "a", Env: name("T"), Required: true, ReadOnly: true,
			UID: number(1), GID: number(2), Mode: number(0o400),
		},
		"type=cache,id=$dir,sharing=PRIVATE": {Type: "cache", ID: "/from/a/variable", Sharing: "private"},
		"type=$dir,target=/x":                {},
		"from=$dir,target=/x":                {},
		"":                                   {},
		"a\nb":                               {},
	} {
		got, err := dockerfile.ParseMount(value, func(s string) (string, error) {
			return strings.ReplaceAll(s, "$dir", "/from/a/variable"), nil
		})
		if (err != nil) != (want.Type == "") {
			t.Errorf("%q: %v", value, err)
			continue
		}
		if err == nil {
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Errorf("%q:\n%s", value, diff)
			}
		}
	}
}
