package localization

import (
	"encoding/binary"
	"sort"

	"github.com/droplift/droplift/processors/wire"
)

// cue is one cue of a stream with its verdicts by language. It lives until its pane is final.
type cue struct {
	// at is the effective time of the earliest record about it in any language: it says in which pane it counts.
	at int64
	// speech is the media time of the earliest speech start that was named.
	speech int64
	// compared says that the tracks were compared at the deadline; expires is then when the pane is final, in watermark time.
	compared bool
	expires  int64
	// verdicts are sorted by language.
	verdicts []rendering
}

// rendering is a cue's verdict in one language.
type rendering struct {
	language string
	same     bool
	verdict
}

// in finds a language's place in the list.
func (c *cue) in(language string) (i int, found bool) {
	i = sort.Search(len(c.verdicts), func(i int) bool { return c.verdicts[i].language >= language })
	return i, i < len(c.verdicts) && c.verdicts[i].language == language
}

// insert makes room for r at i.
func (c *cue) insert(i int, r rendering) {
	c.verdicts = append(c.verdicts, rendering{})
	copy(c.verdicts[i+1:], c.verdicts[i:])
	c.verdicts[i] = r
}

// source is the language spoken, once the cue was shown in it: then it exists, and its translations are expected.
func (c *cue) source() (language string, ok bool) {
	for i := range c.verdicts {
		if c.verdicts[i].same && c.verdicts[i].state == shown {
			return c.verdicts[i].language, true
		}
	}
	return "", false
}

type cueCodec struct {
	capMS int64
	names *wire.Names
}

const cueVersion = 1

func (cueCodec) Append(dst []byte, c *cue) []byte {
	dst = append(dst, cueVersion)
	dst = binary.AppendUvarint(dst, uint64(c.at))
	dst = binary.AppendUvarint(dst, uint64(c.speech))
	dst = append(dst, flag(c.compared, 1))
	dst = binary.AppendUvarint(dst, uint64(c.expires))
	dst = binary.AppendUvarint(dst, uint64(len(c.verdicts)))
	for i := range c.verdicts {
		v := &c.verdicts[i]
		dst = wire.AppendString(dst, v.language)
		dst = append(dst, byte(v.state)|flag(v.same, 1<<2)|flag(v.stretch, 1<<3), byte(v.faults))
		dst = binary.AppendUvarint(dst, uint64(v.display))
		dst = binary.AppendUvarint(dst, uint64(v.at))
		dst = binary.AppendUvarint(dst, uint64(v.latency))
		dst = binary.AppendUvarint(dst, uint64(v.translation))
	}
	return dst
}

func (k cueCodec) Decode(data []byte, c *cue) error {
	r, _ := wire.NewReader(data, cueVersion)
	*c = cue{at: r.Natural(), speech: r.Natural(), compared: r.Bool(), expires: r.Natural(), verdicts: c.verdicts[:0]}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		v := rendering{language: k.names.Bytes(r.Bytes())}
		bits := r.Byte()
		v.faults = fault(r.Byte())
		v.state, v.same, v.stretch = state(bits&3), bits&(1<<2) != 0, bits&(1<<3) != 0
		if v.state >= states || v.faults > faults {
			r.Fail()
		}
		v.display, v.at, v.latency, v.translation = r.Natural(), r.Natural(), r.Natural(), r.Natural()
		c.verdicts = append(c.verdicts, v)
	}
	return r.Done()
}

// Deadline is when the tracks are compared, and after that when the cue's pane is final.
func (k cueCodec) Deadline(c *cue) int64 {
	if c.compared {
		return c.expires
	}
	return c.at + k.capMS
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

// stream is what is known of one stream as a whole.
type stream struct {
	// newest is the effective time of its newest record.
	newest int64
	// settled says that all cues whose speech starts at or before this media time were final, where they were known; −1 for none.
	settled int64
	// languages it has had, sorted by name.
	languages []track
}

// track is a language of a stream and the media time from which on it is expected.
type track struct {
	language string
	from     int64
}

// forgetMS is how long a stream is remembered after its newest record: after it the stream's cue ids may be used anew.
const forgetMS = 24 * hourMS

// saw takes note of a cue in a language.
func (s *stream) saw(language string, speech int64, names *wire.Names) {
	i := sort.Search(len(s.languages), func(i int) bool { return s.languages[i].language >= language })
	if i < len(s.languages) && s.languages[i].language == language {
		s.languages[i].from = min(s.languages[i].from, speech)
		return
	}
	s.languages = append(s.languages, track{})
	copy(s.languages[i+1:], s.languages[i:])
	s.languages[i] = track{names.Text(language), speech}
}

type streamCodec struct{ names *wire.Names }

const streamVersion = 1

func (streamCodec) Append(dst []byte, s *stream) []byte {
	dst = append(dst, streamVersion)
	dst = binary.AppendUvarint(dst, uint64(s.newest))
	dst = binary.AppendVarint(dst, s.settled)
	dst = binary.AppendUvarint(dst, uint64(len(s.languages)))
	for _, t := range s.languages {
		dst = wire.AppendString(dst, t.language)
		dst = binary.AppendUvarint(dst, uint64(t.from))
	}
	return dst
}

func (k streamCodec) Decode(data []byte, s *stream) error {
	r, _ := wire.NewReader(data, streamVersion)
	*s = stream{newest: r.Natural(), settled: r.Signed(), languages: s.languages[:0]}
	for n := r.Count(); n > 0 && !r.Failed(); n-- {
		s.languages = append(s.languages, track{k.names.Bytes(r.Bytes()), r.Natural()})
	}
	return r.Done()
}

func (streamCodec) Deadline(s *stream) int64 { return s.newest + forgetMS }
