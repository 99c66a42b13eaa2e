package build

import (
	"errors"
	"strings"
	"testing"

	"docksmith/lib/oci"
)

func TestCanRun(t *testing.T) {
	host := oci.HostPlatform()
	other := oci.Platform{OS: "linux", Architecture: "s390x"}
	no := errors.New("it is switched off")
	for _, c := range []struct {
		name   string
		p      oci.Platform
		answer error
		want   string
	}{
		{"this machine", host, no, ""},
		{"another variant", oci.Platform{OS: "linux", Architecture: host.Architecture, Variant: "v9"}, no, ""},
		{"nothing said", oci.Platform{}, no, ""},
		{"another that runs", other, nil, ""},
		{"another that does not", other, no, "the image is for linux/s390x: it is switched off"},
		{"another system", oci.Platform{OS: "windows", Architecture: host.Architecture}, nil, "the image is for windows/" + host.Architecture + ": this machine runs linux/"},
	} {
		b := &builder{o: Options{CanRun: func(p oci.Platform) error {
			if p.Architecture != "s390x" {
				t.Errorf("%s: asked for %v", c.name, p)
			}
			return c.answer
		}}}
		err := b.canRun(c.p)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := (&builder{}).canRun(other); err == nil {
		t.Error("without somebody to ask everything runs")
	}
}

// TestPlatformLabel: the image is for what was asked, else for what its base is.
func TestPlatformLabel(t *testing.T) {
	arm := oci.Platform{OS: "linux", Architecture: "arm64"}
	for _, c := range []struct {
		name, file string
		asked      oci.Platform
		want       string
	}{
		{"a base", "FROM base", oci.Platform{}, "linux/s390x"},
		{"asked", "FROM base", arm, "linux/arm64"},
		{"empty", "FROM scratch", arm, "linux/arm64"},
		{"empty, whatever FROM says", "FROM --platform=linux/ppc64le scratch", arm, "linux/arm64"},
		{"a stage for this machine", "FROM --platform=$BUILDPLATFORM base AS x\nFROM x", arm, "linux/arm64"},
		{"FROM alone", "FROM --platform=linux/s390x base", oci.Platform{}, "linux/s390x"},
		{"a variant", "FROM base", oci.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}, "linux/arm/v6"},
		{"a variant of the base", "FROM base", oci.Platform{OS: "linux", Architecture: "s390x"}, "linux/s390x/z13"},
	} {
		from := oci.Image{Platform: oci.Platform{OS: "linux", Architecture: "s390x"}}
		if strings.HasSuffix(c.want, "z13") {
			from.Variant = "z13"
		}
		s := &paperStore{bases: map[string]*Base{"base": {Image: from}}}
		if _, err := Build(t.Context(), parse(t, c.file), Options{Store: s, Platform: c.asked}); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := oci.PlatformString(s.image.Platform); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
