"""What pages read from disk, cached until it changes there: the only home of `st.cache_*`.

Cached objects are shared by all visitors; never change one.
"""
