"""Knowledge: documents become an index that can be asked, locked, rolled back and forgotten.

Owns what a document, a block, a chunk and a place are; how documents are found, read and cut; who may see
which; and the index on disk. It speaks to embedders through a Protocol and imports no engine. Choosing and
wording an answer is `answers`', joining a project's files, lock and models is `operations`'.
"""
