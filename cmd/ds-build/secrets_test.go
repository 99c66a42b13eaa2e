package main

import (
	"slices"
	"testing"
)

func TestParseSecret(t *testing.T) {
	t.Setenv("SET", "1")
	for flag, want := range map[string][3]string{
		"id=a,src=f":          {"a", "f", ""},
		"source=f,ID=a":       {"a", "f", ""},
		"id=a,env=V":          {"a", "", "V"},
		"type=env,id=a,src=V": {"a", "", "V"},
		"type=file,id=SET":    {"SET", "SET", ""},
		"id=SET":              {"SET", "", "SET"},
		"SET":                 {"SET", "", "SET"},
		"unset-name":          {"unset-name", "unset-name", ""},
		`id=a,"src=b,c"`:      {"a", "b,c", ""},
	} {
		id, file, variable, err := parseSecret(flag)
		if got := [3]string{id, file, variable}; err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", flag, got, err, want)
		}
	}
	for _, flag := range []string{"", "src=f", "id=", "id=a,src", "id=a,src=f,env=V", "id=a,type=x", "id=a,what=b", "type=file,id=a,env=V"} {
		if id, file, variable, err := parseSecret(flag); err == nil {
			t.Errorf("%s: accepted as %s, %s, %s", flag, id, file, variable)
		}
	}
}

func TestDiscreet(t *testing.T) {
	got := discreet([]string{"-t", "a=b", "--secret", "id=x,src=/hidden", "--secret=id=y,env=HIDDEN", "--secret=wrong,hidden", "--ssh", "default=/hidden", "--ssh=q=/hidden", "--ssh"})
	want := []string{"-t", "a=b", "--secret", "id=x", "--secret=id=y", "--secret=", "--ssh", "default", "--ssh=q", "--ssh"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
