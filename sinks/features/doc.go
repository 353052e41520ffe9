// Package features serves players' features while they are fresh. A Store keeps the
// newest features of every player of some partitions in memory, fed by the compacted features topic; a
// Handler answers from it over HTTP, in JSON or as an Arrow stream; a Snapshot
// brings it back after a restart without reading the topic whole.
//
//	Store      players by name, packed; watermark and position of each partition
//	Handler    GET /v1/features/{player}, POST /v1/features, GET /v1/features
//	Snapshot   the file of a Store, bound to topic, feature set and layout
//
// It connects to nothing: records come through Apply and ApplyProgress. There is
// no coordination between replicas, since each one reads what it serves by itself.
package features
