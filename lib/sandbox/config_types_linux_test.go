package sandbox

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// notRead are the members of the specification that are refused, or are not
// about Linux.
var notRead = map[string]bool{
	"Spec.Solaris": true, "Spec.Windows": true, "Spec.VM": true, "Spec.ZOS": true, "Spec.FreeBSD": true,
	"Process.CommandLine": true, "Process.ExecCPUAffinity": true, "User.Username": true,
	"Linux.NetDevices": true, "Linux.IntelRdt": true, "Linux.MemoryPolicy": true, "Linux.TimeOffsets": true,
}

// TestConfigIsReadWhole fills every member there is, and expects it back: a type
// of the specification that grows is noticed.
func TestConfigIsReadWhole(t *testing.T) {
	var want specs.Spec
	random := rand.New(rand.NewPCG(1, 2))
	fillValue(reflect.ValueOf(&want).Elem(), random, 0)
	readsBack(t, &want)
	want.Linux.Resources = &specs.LinuxResources{Devices: want.Linux.Resources.Devices}
	readsBack(t, &want)
}

func readsBack(t *testing.T, want *specs.Spec) {
	t.Helper()
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got specs.Spec
	if err := decodeObject(raw, specFields(&got)); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&got)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != string(again) {
		t.Errorf("read as\n%s\nwant\n%s", again, raw)
	}
}

// fillValue makes a value of which no part is zero, but for what is not read.
func fillValue(v reflect.Value, random *rand.Rand, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), random, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			if !notRead[v.Type().Name()+"."+v.Type().Field(i).Name] {
				fillValue(v.Field(i), random, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillValue(v.Index(i), random, depth+1)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillValue(key, random, depth+1)
		fillValue(value, random, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(string(rune('a'+random.IntN(26))) + string(rune('a'+random.IntN(26))))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1 + random.Int64N(1000))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1 + random.Uint64N(200))
	default:
		panic("sandbox: no value of kind " + v.Kind().String())
	}
}
