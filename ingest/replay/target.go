package replay

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/droplift/droplift/ingest/event"
)

// target is an event field that a mapping can fill. Targets are read off the
// event definition, so that a field added there can be mapped at once.
type target struct {
	name     string
	index    []int
	kind     reflect.Kind
	required bool
	id       bool
	// enum holds the names of an enumerated field.
	enum map[string]uint64
}

// payloads names the Event member that holds a kind's payload.
var payloads = map[event.Kind]string{
	event.KindPlayer:   "Player",
	event.KindLatency:  "Latency",
	event.KindCheckout: "Checkout",
	event.KindSubtitle: "Subtitle",
	event.KindDrop:     "Drop",
	event.KindScore:    "Score",
}

// targetsOf lists what a mapping of kind can fill, by JSON name.
func targetsOf(kind event.Kind) map[string]*target {
	targets := make(map[string]*target)
	whole := reflect.TypeFor[event.Event]()
	for _, member := range []string{"Envelope", payloads[kind]} {
		outer, _ := whole.FieldByName(member)
		for i := range outer.Type.NumField() {
			field := outer.Type.Field(i)
			t := &target{
				name:     field.Tag.Get("json"),
				index:    append(append([]int(nil), outer.Index...), i),
				kind:     field.Type.Kind(),
				required: strings.Contains(";"+field.Tag.Get("rule")+";", ";required;"),
				id:       field.Type == reflect.TypeFor[uuid.UUID](),
			}
			if t.kind == reflect.Slice {
				continue // lists exist only in a catalogue
			}
			if field.Type.Implements(reflect.TypeFor[fmt.Stringer]()) && t.kind == reflect.Uint8 {
				t.enum = enumNames(field.Type)
			}
			if t.name == "type" { // each kind has types of its own
				t.enum = make(map[string]uint64)
				for _, known := range kind.Types() {
					t.enum[known.String()] = uint64(known)
				}
			}
			targets[t.name] = t
		}
	}
	return targets
}

// enumNames asks an enumeration for all its names; the zero value has none that counts.
func enumNames(t reflect.Type) map[string]uint64 {
	names := make(map[string]uint64)
	unknown := reflect.New(t).Elem().Interface().(fmt.Stringer).String()
	for i := uint64(1); i < 256; i++ {
		v := reflect.New(t).Elem()
		v.SetUint(i)
		name := v.Interface().(fmt.Stringer).String()
		if _, taken := names[name]; !taken && name != "" && name != unknown {
			names[name] = i
		}
	}
	return names
}

// value is the result of an expression: an integer if whole, else text.
type value struct {
	text  string
	n     int64
	whole bool
}

// set stores v, or says why the field cannot hold it.
func (t *target) set(ev *event.Event, v value) *rejection {
	field := reflect.ValueOf(ev).Elem().FieldByIndex(t.index)
	text := v.text
	if v.whole {
		text = strconv.FormatInt(v.n, 10)
	}
	switch {
	case t.id:
		id, err := uuid.Parse(text)
		if err != nil {
			return reject(event.ReasonBadID.String(), "%q is no UUID", text)
		}
		field.Set(reflect.ValueOf(id))
	case t.enum != nil:
		n, ok := t.enum[text]
		if !ok {
			reason := event.ReasonUnknownEnum
			if t.name == "type" {
				reason = event.ReasonUnknownType
			}
			return reject(reason.String(), "%q is none of %s", text, knownKeys(t.enum))
		}
		field.SetUint(n)
	case t.kind == reflect.String:
		field.SetString(text)
	case t.kind == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return reject(reasonNotANumber, "%q is neither true nor false", text)
		}
		field.SetBool(b)
	case t.kind == reflect.Float64:
		f, r := parseFloat(text)
		if r != nil {
			return r
		}
		field.SetFloat(f)
	default:
		n := v.n
		if !v.whole {
			var r *rejection
			if n, r = parseInteger(text); r != nil {
				return r
			}
		}
		if field.CanInt() {
			field.SetInt(n)
			return nil
		}
		if n < 0 || field.OverflowUint(uint64(n)) {
			return reject(event.ReasonOutOfRange.String(), "%d does not fit", n)
		}
		field.SetUint(uint64(n))
	}
	return nil
}

// integral says that the field holds whole numbers.
func (t *target) integral() bool {
	return t.enum == nil && !t.id && t.kind >= reflect.Int && t.kind <= reflect.Uint64
}

// requiredTargets lists in order what a mapping of the kind must fill; the id is made.
func requiredTargets(targets map[string]*target) []string {
	var names []string
	for name, t := range targets {
		if t.required && !t.id {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
