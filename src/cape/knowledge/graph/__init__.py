"""A graph of what documents name: entities, and relations between them, each with the passage that says it.

Owns finding them by rules and by counting within one document, and ways through them. No model reads anything
here, and nothing is shown of a passage that the asker may not see. How a passage ranks for a question never
belongs here.
"""
