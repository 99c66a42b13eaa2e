package build

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHistory: the entries of instructions that change the configuration alone,
// as BuildKit writes them.
func TestHistory(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string
	}{
		{`ARG V=1 W="a b" X Y=`, []string{`ARG V=1 W=a b X Y=`}},
		{`ARG G`, []string{`ARG G=given`}},
		{`ARG TARGETOS`, []string{`ARG TARGETOS=linux`}},
		{`ENV B=$A C="x y" D=\$x`, []string{`ENV B=base C=x y D=$x`}},
		{`ENV D hello   world`, []string{`ENV D=hello   world`}},
		{`LABEL a=1 "b c"="d e" f='$A'`, []string{`LABEL a=1 b c=d e f=$A`}},
		{`LABEL old style value`, []string{`LABEL old=style value`}},
		{`CMD echo hi   $there`, []string{`CMD ["/bin/sh" "-c" "echo hi   $there"]`}},
		{`CMD ["echo","hi & <\"x\">"]`, []string{`CMD ["echo" "hi & <\"x\">"]`}},
		{`CMD []`, []string{`CMD []`}},
		{`ENTRYPOINT exec top`, []string{`ENTRYPOINT ["/bin/sh" "-c" "exec top"]`}},
		{`ENTRYPOINT []`, []string{`ENTRYPOINT []`}},
		{`EXPOSE 90-91/UDP 2 80 81/sctp`, []string{`EXPOSE [2/tcp 80/tcp 81/sctp 90/udp 91/udp]`}},
		{`VOLUME /b /c$A`, []string{`VOLUME [/b /cbase]`}},
		{`VOLUME ["/c d","/e/$A"]`, []string{`VOLUME [/c d /e/base]`}},
		{`USER $A:5`, []string{`USER base:5`}},
		{`WORKDIR /`, []string{`WORKDIR /`}},
		{`STOPSIGNAL sigquit`, []string{`STOPSIGNAL sigquit`}},
		{`SHELL ["/bin/sh","-ec"]`, []string{`SHELL [/bin/sh -ec]`}},
		{`HEALTHCHECK --interval=1m30s --timeout=2s --start-interval=5s --retries=4 CMD a $b`,
			[]string{`HEALTHCHECK {Test:[CMD-SHELL a $b] Interval:1m30s Timeout:2s StartPeriod:0s StartInterval:5s Retries:4}`}},
		{`HEALTHCHECK NONE`, []string{`HEALTHCHECK {Test:[NONE] Interval:0s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}`}},
		{`MAINTAINER Me <me@x>`, []string{`MAINTAINER Me <me@x>`}},
		{`ONBUILD RUN x`, nil},
	} {
		s := &paperStore{bases: map[string]*Base{"base": base()}}
		if _, err := Build(t.Context(), parse(t, "FROM base\n"+c.line), Options{Store: s, Args: map[string]string{"G": "given"}}); err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		var got []string
		for i, h := range s.image.History {
			if i == 0 {
				continue // of the base
			}
			got = append(got, h.CreatedBy)
			if !h.EmptyLayer || h.Created.Unix() != 0 {
				t.Errorf("%s: entry %+v", c.line, h)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.line, d)
		}
	}
}
