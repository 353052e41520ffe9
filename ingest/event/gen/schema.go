package main

func (m *model) schema(k *kind) ([]byte, error) { return []byte("{}\n"), nil }
