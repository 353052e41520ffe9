// Package flight serves features over Arrow Flight: the newest of every player
// (snapshot), all revisions (history) and training sets (training-set). What they
// are read from is behind an interface; the Arrow schemas are those of the files
// of package offline.
//
//	request.go  tickets and descriptors, decoded strictly
//	server.go   the service
//
// A ticket is a JSON object, and so is the command of a descriptor; a descriptor's
// path names a flight with all its defaults. Times are RFC 3339 or Unix ms:
//
//	{"flight":"snapshot","players":["p1","p2"]}
//	{"flight":"history","from":"2026-04-01T00:00:00Z","to":"2026-04-02T00:00:00Z"}
//	{"flight":"training-set","at":["2026-04-01T00:00:00Z"],"horizon_ms":1209600000}
package flight
