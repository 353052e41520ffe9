package event

// Decoder turns record bytes into events in one pass, without reflection, maps
// or allocations. Not safe for concurrent use; keep one per goroutine.
type Decoder struct {
	err Error
}

// Decode reads one raw record of kind into ev, which it resets first. Strings of
// ev alias data. The returned error is nil when the record is valid; it stays
// readable until the next call.
func (d *Decoder) Decode(kind Kind, data []byte, ev *Event) *Error { panic("codec") }

// Append appends ev as JSON. Fields at their default are left out.
func Append(dst []byte, ev *Event) []byte { panic("codec") }

// The derived records have the same pair.
func (d *Decoder) Features(data []byte, f *Features) *Error     { panic("codec") }
func (d *Decoder) Velocity(data []byte, v *Velocity) *Error     { panic("codec") }
func (d *Decoder) DeadLetter(data []byte, l *DeadLetter) *Error { panic("codec") }
func (d *Decoder) Late(data []byte, l *Late) *Error             { panic("codec") }

func (f *Features) AppendJSON(dst []byte) []byte   { panic("codec") }
func (v *Velocity) AppendJSON(dst []byte) []byte   { panic("codec") }
func (l *DeadLetter) AppendJSON(dst []byte) []byte { panic("codec") }
func (l *Late) AppendJSON(dst []byte) []byte       { panic("codec") }

// Topic is the Kafka topic of a kind: "player", "dead-letter", and so on.
func (k Kind) Topic() string { panic("codec") }

// KindOf is the kind that a topic carries, KindUnknown for a foreign topic.
func KindOf(topic string) Kind { panic("codec") }

func (t Type) String() string        { panic("codec") }
func (r Reason) String() string      { panic("codec") }
func (r Request) String() string     { panic("codec") }
func (c CacheStatus) String() string { panic("codec") }
func (m Maturity) String() string    { panic("codec") }
func (e *Error) Error() string       { panic("codec") }
