package dockerfile_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"docksmith/lib/dockerfile"
)

// TestErrors holds every message that a Dockerfile can get. Sources without a
// FROM of their own get one in front, on line 1.
func TestErrors(t *testing.T) {
	for _, test := range []struct{ src, want string }{
		// the file
		{"ARG x", "1: no build stage: there is no FROM"},
		{"RUN x\nFROM a", "1: no build stage: RUN before the first FROM"},
		{"COPY x y\nFROM a", "1: no build stage: COPY before the first FROM"},
		{"\xff\xfeF\x00R\x00O\x00M\x00FROM", "1: the file is UTF-16: save it as UTF-8"},
		{"RUN \xff", "2: the text is not valid UTF-8"},
		{"RUN a\x00b", "2: the text has a NUL byte"},
		{"RUN <<E\n\xe4\nE", `2: here-document "E": the text is not valid UTF-8`},
		{"\\\n\\", "2: a line continuation without an instruction"},
		// instructions
		{"RNU x", `2: unknown instruction "RNU" (did you mean RUN?)`},
		{"copyy x", `2: unknown instruction "copyy" (did you mean COPY?)`},
		{"ENTRPOINT x", `2: unknown instruction "ENTRPOINT" (did you mean ENTRYPOINT?)`},
		{"WORKINGDIR /x", `2: unknown instruction "WORKINGDIR" (did you mean WORKDIR?)`},
		{"FORM a\nFROM x", `1: unknown instruction "FORM" (did you mean FROM?)`},
		{"RUN: x", `2: unknown instruction "RUN:" (did you mean RUN?)`},
		{"&& x", `2: unknown instruction "&&"`},
		{"apt-get install x", `2: unknown instruction "apt-get"`},
		{`"` + strings.Repeat("x", 200), `2: unknown instruction "\"` + strings.Repeat("x", 79) + `"...`},
		{"RUN x\n\n# c\nRUN y \\\n z\nBOGUS", `7: unknown instruction "BOGUS"`},
		// flags
		{"COPY --form=x a b", `2: unknown flag "--form" of COPY (did you mean --from?)`},
		{"COPY --chwon=x a b", `2: unknown flag "--chwon" of COPY (did you mean --chown?)`},
		{"ADD --from=x a b", `2: unknown flag "--from" of ADD`},
		{"RUN --networks=none x", `2: unknown flag "--networks" of RUN (did you mean --network?)`},
		{"RUN --Mount=x y", `2: unknown flag "--Mount" of RUN (did you mean --mount?)`},
		{"CMD --help", `2: unknown flag "--help" of CMD`},
		{"ENV --x a=b", `2: unknown flag "--x" of ENV`},
		{"FROM --plattform=x a\nRUN y", `1: unknown flag "--plattform" of FROM (did you mean --platform?)`},
		{"ONBUILD --x RUN y", `2: unknown flag "--x" of ONBUILD`},
		{"COPY --from a b", "2: COPY --from needs a value"},
		{"COPY --link= a b", "2: COPY --link needs a value"},
		{"COPY --link=yes a b", `2: COPY --link: "yes" is neither true nor false`},
		{"COPY --from=a --chown=b --from=c x y", "2: COPY --from is given twice"},
		{"COPY --link --link x y", "2: COPY --link is given twice"},
		{"RUN --network=hots x", `2: RUN --network: "hots" is not one of default, none, host (did you mean host?)`},
		{"RUN --network=x x", `2: RUN --network: "x" is not one of default, none, host`},
		{"RUN --security=off x", `2: RUN --security: "off" is not one of sandbox, insecure`},
		{"RUN --device=a,b x", `2: RUN --device: a second device "b"`},
		{"RUN --device=a,required=x x", `2: RUN --device: required: "x" is neither true nor false`},
		{"COPY --chown=${x a b", "2: COPY --chown: expand \"${x\": missing '}'"},
		// mounts
		{"RUN --mount= x", "2: RUN --mount: the value is empty"},
		{"RUN --mount=type=chace,target=/x x", `2: RUN --mount: type "chace" is not one of bind, cache, tmpfs, secret, ssh (did you mean cache?)`},
		{"RUN --mount=type=cache,targte=/x x", `2: RUN --mount: unknown key "targte" (did you mean target?)`},
		{"RUN --mount=type=cache,target x", "2: RUN --mount: target needs a value"},
		{"RUN --mount=type=cache,target=/x,ro=1x x", `2: RUN --mount: ro: "1x" is neither true nor false`},
		{"RUN --mount=type=cache,target=/x,mode=9 x", `2: RUN --mount: mode: "9" is no number in base 8`},
		{"RUN --mount=type=cache,target=/x,sharing=some x", `2: RUN --mount: sharing "some" is not one of shared, private, locked`},
		{"RUN --mount=type=bind,target=/x,sharing=shared x", "2: RUN --mount: sharing does not go with type bind"},
		{"RUN --mount=type=bind,target=/x,uid=0 x", "2: RUN --mount: uid does not go with type bind"},
		{"RUN --mount=type=cache,target=/x,size=1m x", "2: RUN --mount: size does not go with type cache"},
		{"RUN --mount=type=tmpfs,target=/x,size=big x", `2: RUN --mount: size: "big" is no size such as 64m`},
		{"RUN --mount=type=tmpfs,target=/x,required x", "2: RUN --mount: required does not go with type tmpfs"},
		{"RUN --mount=type=secret x", "2: RUN --mount: a secret needs an id, a source or a target"},
		{"RUN --mount=type=secret,id=a,source=b x", "2: RUN --mount: a secret has an id or a source, not both"},
		{"RUN --mount=type=secret,id=a,from=b x", "2: RUN --mount: from does not go with type secret"},
		{"RUN --mount=from=$x,target=/x x", "2: RUN --mount: from takes no variables: name a stage instead, FROM $IMAGE AS NAME"},
		{"RUN --mount=type=$t,targte=$x x", `2: RUN --mount: unknown key "targte" (did you mean target?)`},
		{`RUN --mount=type=\"x,target=/x x`, `2: RUN --mount: split "type=\"x,target=/x" at commas: bare " in non-quoted-field`},
		// FROM
		{"FROM\nRUN x", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a b", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a AS", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a IS b", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a AS b c", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a # comment", "1: FROM needs IMAGE or IMAGE AS NAME"},
		{"FROM a AS 1b", `1: FROM names a stage "1b": a name begins with a letter and has letters, digits and -_. only`},
		{"FROM a AS b/c", `1: FROM names a stage "b/c": a name begins with a letter and has letters, digits and -_. only`},
		{"FROM ${a", "1: FROM: expand \"${a\": missing '}'"},
		// arguments
		{"COPY", "2: COPY needs at least one source and a destination"},
		{"COPY a", "2: COPY needs at least one source and a destination"},
		{`ADD ["a"]`, "2: ADD needs at least one source and a destination"},
		{`COPY ["a", 1]`, "2: a JSON array must hold strings only"},
		{`CMD ["a", ["b"]]`, "2: a JSON array must hold strings only"},
		{`RUN [null]`, "2: a JSON array must hold strings only"},
		{`ENTRYPOINT [{}]`, "2: a JSON array must hold strings only"},
		{`RUN []`, "2: RUN needs a command"},
		{"SHELL /bin/sh -c", `2: SHELL needs a JSON array such as SHELL ["/bin/bash","-c"]`},
		{"SHELL", `2: SHELL needs a JSON array such as SHELL ["/bin/bash","-c"]`},
		{"SHELL []", "2: SHELL needs at least one argument"},
		{"ENV", "2: ENV needs at least one argument"},
		{"ENV a", `2: ENV "a" has no value: write ENV a=VALUE`},
		{"ENV a=b c", `2: ENV "c" has no "=": write NAME=VALUE, with quotes around a value that has blanks`},
		{"ENV =b", `2: ENV "=b": a name cannot be empty`},
		{"ENV a=${b:=c}", `2: ENV: expand "${b:=c}": unsupported modifier ":=" in a substitution`},
		{"ENV a='b", "2: ENV: expand \"'b\": missing closing single quote"},
		{"LABEL a", `2: LABEL "a" has no value: write LABEL a=VALUE`},
		{"LABEL a=b =c", `2: LABEL "=c": a name cannot be empty`},
		{"ARG", "2: ARG needs at least one argument"},
		{"ARG =x", `2: ARG "=x": a name cannot be empty`},
		{"ARG a=${}", `2: ARG: expand "${}": bad substitution`},
		{"ARG --x a", `2: unknown flag "--x" of ARG`},
		{"EXPOSE", "2: EXPOSE needs at least one argument"},
		{"VOLUME", "2: VOLUME needs at least one argument"},
		{"VOLUME []", "2: VOLUME needs at least one argument"},
		{`VOLUME ["/a", " "]`, "2: VOLUME has an empty argument"},
		{"USER", "2: USER needs exactly one argument"},
		{"WORKDIR", "2: WORKDIR needs exactly one argument"},
		{"STOPSIGNAL", "2: STOPSIGNAL needs exactly one argument"},
		{"MAINTAINER", "2: MAINTAINER needs exactly one argument"},
		{"WORKDIR /a \"b", "2: WORKDIR: expand \"/a \\\"b\": missing closing double quote"},
		{"HEALTHCHECK", "2: HEALTHCHECK needs at least one argument"},
		{"HEALTHCHECK CMD", "2: HEALTHCHECK CMD needs a command"},
		{"HEALTHCHECK CMD []", "2: HEALTHCHECK CMD needs a command"},
		{"HEALTHCHECK NONE x", "2: HEALTHCHECK NONE takes no arguments"},
		{"HEALTHCHECK curl", `2: HEALTHCHECK "CURL": write CMD or NONE`},
		{"HEALTHCHECK --interval=1us CMD x", "2: HEALTHCHECK --interval: 1us is less than 1ms"},
		{"HEALTHCHECK --timeout=-1s CMD x", "2: HEALTHCHECK --timeout: -1s is less than 1ms"},
		{"HEALTHCHECK --timeout=30 CMD x", `2: HEALTHCHECK --timeout: "30" is no duration such as 30s or 1m30s`},
		{"HEALTHCHECK --retries=-1 CMD x", `2: HEALTHCHECK --retries: "-1" is no number of retries`},
		{"HEALTHCHECK --retrie=1 CMD x", `2: unknown flag "--retrie" of HEALTHCHECK (did you mean --retries?)`},
		// ONBUILD
		{"ONBUILD", "2: ONBUILD needs an instruction"},
		{"ONBUILD FROM a", "2: FROM cannot be a trigger of ONBUILD"},
		{"ONBUILD onbuild RUN x", "2: ONBUILD cannot be a trigger of ONBUILD"},
		{"ONBUILD\tMAINTAINER\tx", "2: MAINTAINER cannot be a trigger of ONBUILD"},
		{"ONBUILD RNU x", `2: unknown instruction "RNU" (did you mean RUN?)`},
		{"ONBUILD COPY x", "2: COPY needs at least one source and a destination"},
		// here-documents
		{"RUN <<EOF\nx\n EOF\nEOF ", `2: here-document without its end "EOF"`},
		{"RUN <<-EOF\nx\n  EOF", `2: here-document without its end "EOF"`},
		{"RUN x\nCOPY <<A <<B /d/\nA\nb\n", `3: here-document without its end "B"`},
		{"COPY a <<E\nx\nE", "2: COPY cannot have a here-document as its destination"},
		{"COPY << E /x\nx\nE", `2: COPY: no source stands for the here-document "E": write <<E as one word`},
		{`COPY ["<<E", "/x"]`, `2: COPY: here-document "E" has no text`},
		{"RUN 99999999999999999999<<E\nE", `2: here-document: "99999999999999999999" is no file descriptor`},
		// directives
		{"# escape=\\\n# escape=\\\nFROM a", "2: a second escape directive"},
		{"# syntax=a\n# SYNTAX=b\nFROM a", "2: a second syntax directive"},
		{"# check=skip=all\n# check=error=true\nFROM a", "2: a second check directive"},
		{"# syntax=x\n# check=skip\nFROM a", `2: check directive: option "skip" has no value: write skip=NAME, error=true or experimental=NAME`},
		{"# check=error=on\nFROM a", `1: check directive: error="on" is neither true nor false`},
		{"# escape=ab\nFROM a", "1: escape directive: \"ab\" is neither \\ nor `"},
	} {
		src := test.src
		if !strings.Contains(src, "FROM") && !strings.HasPrefix(test.want, "1:") || strings.HasPrefix(src, "ONBUILD") {
			src = "FROM a\n" + src
		}
		_, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{Name: "f"})
		if err == nil {
			t.Errorf("%q: no error, want %q", src, test.want)
			continue
		}
		if got := err.Error(); got != "f:"+test.want {
			t.Errorf("%q:\n got %s\nwant f:%s", src, got, test.want)
		}
		if e, ok := errors.AsType[*dockerfile.Error](err); !ok || e.File != "f" || e.Line < 1 {
			t.Errorf("%q: %#v is not located", src, err)
		}
	}
}

func TestStrict(t *testing.T) {
	for src, want := range map[string]string{
		"FROM a\nRUN x y\nENTRYPOINT z\nCMD [\"a\"]":      "",
		"FROM a\nCMD echo hi":                             `f:2: CMD must be a JSON array here: CMD ["/bin/sh","-c","echo hi"]`,
		"FROM a\nCMD [\"a\",]":                            `f:2: CMD must be a JSON array here: CMD ["/bin/sh","-c","[\"a\",]"]`,
		"FROM a\n\nCMD a && \\\n  b":                      `f:3: CMD must be a JSON array here: CMD ["/bin/sh","-c","a &&   b"]`,
		"FROM a\nCMD":                                     `f:2: CMD must be a JSON array here: CMD ["/bin/sh","-c",""]`,
		"FROM a\nONBUILD CMD x":                           `f:2: CMD must be a JSON array here: CMD ["/bin/sh","-c","x"]`,
		"FROM a\nCMD " + strings.Repeat("very long ", 50): `f:2: CMD must be a JSON array here: CMD ["/bin/sh","-c","..."]`,
	} {
		_, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{Name: "f", Strict: true})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", src, got, want)
		}
	}
}

func TestParseTrigger(t *testing.T) {
	for src, want := range map[string]string{
		"RUN make":                    "",
		"COPY <<E /x\na\nE":           "",
		"RUN <<A cat <<B\nx\nA\ny\nB": "",
		"":                            "img:1: no instruction",
		"RUN a\nRUN b":                "img:2: more than one instruction",
		"FROM a":                      "img:1: FROM cannot be a trigger of ONBUILD",
		"ONBUILD RUN x":               "img:1: ONBUILD cannot be a trigger of ONBUILD",
		"RUN <<E":                     `img:1: here-document without its end "E"`,
		"COPY a":                      "img:1: COPY needs at least one source and a destination",
	} {
		in, err := dockerfile.ParseTrigger("img", src)
		got := ""
		if err != nil {
			got = err.Error()
		} else if in.Source() != src {
			t.Errorf("%q: source %q", src, in.Source())
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", src, got, want)
		}
	}
}

func TestReadError(t *testing.T) {
	_, err := dockerfile.Parse(iotest.ErrReader(io.ErrClosedPipe), dockerfile.Options{Name: "f"})
	if !errors.Is(err, io.ErrClosedPipe) || err.Error() != "read f: "+io.ErrClosedPipe.Error() {
		t.Errorf("got %v", err)
	}
}
